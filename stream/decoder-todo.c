/* SPDX-License-Identifier: Apache-2.0 */
#include "stream/decoder-internal.h"
MigStep mig_parse_rp(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return mig_decoder_fail(d, 0, MIG_FAULT_RP_TYPE, "x", "x");
}
MigStep mig_parse_multifd_init(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return mig_decoder_fail(d, 0, MIG_FAULT_RP_TYPE, "x", "x");
}
MigStep mig_parse_colo(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return mig_decoder_fail(d, 0, MIG_FAULT_RP_TYPE, "x", "x");
}
