/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION and the device bodies of a recorded stream, found by searching its bytes, with
 * nothing of the decoder: what is tested here does not find its own input.
 */
#ifndef MIG_TESTS_UNIT_BODIES_H
#define MIG_TESTS_UNIT_BODIES_H

#include <glib.h>

#include "stream/vmdesc.h"

/* The text at the end of the stream and its length; NULL if it has none. Points into stream. */
const char *mig_test_vmdesc_text(GBytes *stream, gsize *n);

/*
 * Offset of the body of the FULL section of this device, searched for from *from on; *from becomes
 * the offset behind the section. Aborts the test if there is none that a footer or another item
 * follows where the device's size says.
 */
gsize mig_test_body(GBytes *stream, gsize *from, const MigVmDevice *device);

#endif
