/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder: one pure function from a record's fields to its bytes. It keeps no state and checks
 * nothing that the format can express: a damaged record encodes to damaged bytes, which is what
 * mutators and tests want. `wire`, `offset` and `depth` are not looked at.
 */
#ifndef MIG_STREAM_ENCODER_H
#define MIG_STREAM_ENCODER_H

#include "stream/record.h"

/* No record is longer than this on the wire, payload apart (a command with 65535 bytes is). */
#define MIG_ENCODED_MAX (65535u + 5u)

/*
 * Writes the bytes of |r| (without its payload) to |out|, which has room for |cap| bytes, and
 * returns how many bytes the record has on the wire. When that is more than |cap| nothing useful
 * was written; a |cap| of MIG_ENCODED_MAX always suffices but for a configuration with a
 * name or list at its limits. |out| may be NULL when |cap| is 0: then it only measures.
 */
size_t mig_record_encode(const MigRecord *r, uint8_t *out, size_t cap);

/*
 * Bytes that stand *behind* the payload of |r| and belong to it (the end mark of a return-path
 * bitmap); 0 for nearly every record. Same contract as above.
 */
size_t mig_record_encode_tail(const MigRecord *r, uint8_t *out, size_t cap);

#endif
