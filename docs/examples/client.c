/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes a recorded stream (uncompressed), counts what is in it, and encodes every record again.
 *
 *     cc client.c $(pkg-config --cflags --libs libmigstream) -o client && ./client STREAM
 */
#include <libmigstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *load(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) || (*n = (size_t)ftell(f)) == 0 || fseek(f, 0, SEEK_SET)) {
        perror(path);
        exit(4);
    }
    unsigned char *data = (unsigned char *)malloc(*n);
    *n = fread(data, 1, *n, f);
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    static uint8_t out[MIG_ENCODED_MAX];
    uint64_t counts[MIG_REC_COUNT] = { 0 }, different = 0;
    size_t n;
    unsigned char *data = load(argc > 1 ? argv[1] : "stream", &n);
    MigDecoder *d = mig_decoder_new(NULL);
    MigStatus s;
    MigRecord r;

    mig_decoder_feed(d, data, n);
    while ((s = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD || s == MIG_STATUS_MORE) {
        if (s == MIG_STATUS_MORE) {
            mig_decoder_feed_eof(d);
            continue;
        }
        counts[r.type]++;
        size_t wire = mig_record_encode(&r, out, sizeof(out));
        different += wire != r.wire || memcmp(out, data + r.offset, wire) != 0;
    }
    if (s == MIG_STATUS_BAD) {
        const MigDiagnosis *why = mig_decoder_diagnosis(d);
        printf("offset %llu, %s: expected %s, found %s\n", (unsigned long long)why->offset,
               why->path, why->expected, why->found);
    }
    for (int type = 0; type < MIG_REC_COUNT; type++) {
        if (counts[type]) {
            printf("%s %llu\n", mig_record_name((MigRecordType)type),
                   (unsigned long long)counts[type]);
        }
    }
    printf("encoded differently %llu\n", (unsigned long long)different);
    mig_decoder_free(d);
    free(data);
    return s == MIG_STATUS_END && different == 0 ? 0 : 1;
}
