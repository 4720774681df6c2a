/* SPDX-License-Identifier: Apache-2.0 */
/* Two bodies of a device, compared value by value along their descriptions. */
#ifndef MIG_CONFORMANCE_DIFF_DEVICE_H
#define MIG_CONFORMANCE_DIFF_DEVICE_H

#include <glib.h>

#include "stream/vmdesc.h"

/* |a| or |b| is NULL where only the other has the value. */
typedef void (*MigValueDiffers)(void *opaque, const char *name, const char *a, const char *b);

/* False: the device isn't described on both sides, or not rightly; nothing was reported then. */
bool mig_diff_device(const MigVmdesc *desc_a, const MigVmdesc *desc_b, const char *device,
                     uint32_t instance, const GByteArray *a, const GByteArray *b,
                     MigValueDiffers differs, void *opaque);

#endif
