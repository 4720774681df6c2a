/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes, and the containers that an input opens, written here. All results belong to the caller. */
#ifndef MIG_TESTS_UNIT_PACKING_H
#define MIG_TESTS_UNIT_PACKING_H

#include <glib.h>
#include <stdbool.h>

/* |n| bytes, always the same ones, that begin like a stream; half of them pack well. */
GBytes *mig_test_contents(gsize n);

GBytes *mig_test_pack_raw(GBytes *in); /* nothing is done */
GBytes *mig_test_pack_zstd(GBytes *in);
GBytes *mig_test_pack_gzip(GBytes *in);
/* Two members and 700 zero bytes, such as a tape leaves behind them. */
GBytes *mig_test_pack_gzip_members(GBytes *in);

/*
 * A libvirt save image of the running domain "guest &amp; co" around |in|, which is as it is; its
 * header in little- or big-endian.
 */
GBytes *mig_test_pack_image(GBytes *in, guint32 compression, bool big);
GBytes *mig_test_pack_libvirt(GBytes *in);      /* raw, little-endian */
GBytes *mig_test_pack_libvirt_big(GBytes *in);  /* raw, big-endian */
GBytes *mig_test_pack_libvirt_gzip(GBytes *in); /* little-endian */
GBytes *mig_test_pack_libvirt_zstd(GBytes *in); /* big-endian */

/* gzip members of zstd of a libvirt image of gzip. */
GBytes *mig_test_pack_nested(GBytes *in);

#endif
