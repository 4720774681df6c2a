/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream decoder on any bytes, for every kind of channel. Properties:
 *   it ends (every answer but MORE consumes something or is final);
 *   records lie one behind the other, inside the input;
 *   the same bytes in other pieces give the same records, payloads and verdict;
 *   a decoded record encodes to the bytes it came from.
 * The first byte of the input chooses the channel, the second the size of the pieces.
 */
#include <string.h>

#include "stream/decoder.h"
#include "stream/encoder.h"
#include "tests/fuzz/fuzz.h"

#define CHANNELS    (MIG_CHANNEL_PREEMPT + 1u)
#define SCRATCH     (1u << 16)
#define RECORDS_MAX 100000u

typedef struct Run {
    uint64_t hash; /* of records, payloads and verdict */
    uint32_t records;
    MigStatus end;
} Run;

static void mix(Run *run, uint64_t value)
{
    run->hash = (run->hash ^ value) * 0x100000001b3ull;
}

static void check_encoding(const MigRecord *r, const uint8_t *stream, size_t size)
{
    static uint8_t out[MIG_ENCODED_MAX];
    size_t n = mig_record_encode(r, out, sizeof(out));
    MIG_FUZZ_CHECK(n == r->wire);
    MIG_FUZZ_CHECK(r->offset <= size && r->wire <= size - r->offset);
    if (n <= sizeof(out)) {
        MIG_FUZZ_CHECK(memcmp(out, stream + r->offset, n) == 0);
    }
}

static void take_record(Run *run, MigDecoder *d, const MigRecord *r, uint8_t *scratch)
{
    mix(run, r->type);
    mix(run, r->offset);
    mix(run, r->wire);
    mix(run, r->payload);
    mix(run, r->depth);
    char path[MIG_DIAGNOSIS_TEXT];
    mig_decoder_path(d, path, sizeof(path));
    for (const char *p = path; *p; p++) {
        mix(run, (uint8_t)*p);
    }
    if (r->payload && r->payload <= SCRATCH) {
        mig_decoder_payload_into(d, scratch);
    }
    run->records++;
}

/* Decodes until the decoder wants more; false when it has ended. */
static bool drain(Run *run, MigDecoder *d, const uint8_t *stream, size_t size, uint8_t *scratch,
                  uint64_t *payload)
{
    MigRecord r;
    while (run->records < RECORDS_MAX) {
        MigStatus status = mig_decoder_next(d, &r);
        run->end = status;
        if (status == MIG_STATUS_RECORD) {
            check_encoding(&r, stream, size);
            *payload = r.payload;
            take_record(run, d, &r, scratch);
        } else if (status == MIG_STATUS_PAYLOAD) {
            for (uint64_t i = 0; i < *payload; i++) {
                mix(run, scratch[i]);
            }
        } else {
            return status == MIG_STATUS_MORE;
        }
    }
    return false;
}

static Run decode(MigChannel channel, const uint8_t *stream, size_t size, size_t piece)
{
    static uint8_t scratch[SCRATCH];
    Run run = { .hash = 0xcbf29ce484222325ull };
    MigDecoderOptions options = { .channel = channel };
    MigDecoder *d = mig_decoder_new(&options);
    MIG_FUZZ_CHECK(d != NULL);
    uint64_t payload = 0;
    bool more = true;
    for (size_t at = 0; more && at < size; at += piece) {
        mig_decoder_feed(d, stream + at, piece < size - at ? piece : size - at);
        more = drain(&run, d, stream, size, scratch, &payload);
    }
    if (more) {
        mig_decoder_feed_eof(d);
        more = drain(&run, d, stream, size, scratch, &payload);
        MIG_FUZZ_CHECK(!more);
    }
    if (run.end == MIG_STATUS_BAD) {
        const MigDiagnosis *diagnosis = mig_decoder_diagnosis(d);
        MIG_FUZZ_CHECK(diagnosis != NULL && diagnosis->fault != MIG_FAULT_NONE);
        MIG_FUZZ_CHECK(diagnosis->offset <= size);
        mix(&run, diagnosis->fault);
        mix(&run, diagnosis->offset);
    }
    mig_decoder_free(d);
    return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    MigChannel channel = (MigChannel)(data[0] % CHANNELS);
    size_t piece = 1u + data[1];
    Run whole = decode(channel, data + 2, size - 2, size);
    Run pieces = decode(channel, data + 2, size - 2, piece);
    MIG_FUZZ_CHECK(whole.records == pieces.records);
    MIG_FUZZ_CHECK(whole.end == pieces.end);
    MIG_FUZZ_CHECK(whole.hash == pieces.hash);
    return 0;
}
