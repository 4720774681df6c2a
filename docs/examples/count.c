/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the pages of a stream: cc count.c $(pkg-config --cflags --libs libmigstream) */
#include <libmigstream.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static unsigned char buffer[65536];
    unsigned long long counts[MIG_REC_COUNT] = { 0 };
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
    MigDecoder *decoder = mig_decoder_new(NULL);
    MigStatus status = MIG_STATUS_MORE;
    MigRecord record;

    while (file && (status == MIG_STATUS_MORE || status == MIG_STATUS_RECORD)) {
        status = mig_decoder_next(decoder, &record);
        if (status == MIG_STATUS_RECORD) {
            counts[record.type]++;
        } else if (status == MIG_STATUS_MORE) {
            size_t n = fread(buffer, 1, sizeof(buffer), file);
            n ? mig_decoder_feed(decoder, buffer, n) : mig_decoder_feed_eof(decoder);
        }
    }
    printf("normal %llu zero %llu\n", counts[MIG_REC_RAM_PAGE], counts[MIG_REC_RAM_ZERO]);
    mig_decoder_free(decoder);
    return file && status == MIG_STATUS_END ? 0 : 1;
}
