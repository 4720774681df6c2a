/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of multifd packets. The first byte chooses the method, the second how many pages a
 * packet claims; what follows is fed as compressed bytes in packets, and, as the content of pages,
 * must come back from compressing and decompressing over several packets of one channel.
 */
#include <string.h>

#include "stream/format.h"
#include "stream/multifd-codec.h"
#include "tests/fuzz/fuzz.h"

#define PAGE      4096u
#define PAGES_MAX 4u
#define PACKETS   3u

static const uint32_t flags[] = {
    [MIG_MULTIFD_NONE] = 0,
    [MIG_MULTIFD_ZLIB] = MIG_MULTIFD_FLAG_ZLIB,
    [MIG_MULTIFD_ZSTD] = MIG_MULTIFD_FLAG_ZSTD,
};

static void hostile(uint32_t method, uint32_t pages, const uint8_t *data, size_t size)
{
    static uint8_t out[PAGES_MAX * PAGE];
    MigMultifdCodec *c = mig_multifd_decompressor_new();
    MIG_FUZZ_CHECK(c != NULL);
    size_t half = size / 2;
    if (mig_multifd_decompress(c, flags[method], data, half, out, pages * PAGE) == MIG_CODEC_OK) {
        mig_multifd_decompress(c, flags[method], data + half, size - half, out, pages * PAGE);
    }
    mig_multifd_codec_free(c);
}

static void faithful(uint32_t method, uint32_t pages, const uint8_t *data, size_t size)
{
    static uint8_t content[PAGES_MAX * PAGE], out[PAGES_MAX * PAGE];
    static uint8_t wire[4 * PAGES_MAX * PAGE];
    const uint8_t *list[PAGES_MAX];
    MigMultifdCodec *in = mig_multifd_compressor_new((MigMultifdMethod)method, 1);
    MigMultifdCodec *back = mig_multifd_decompressor_new();
    MIG_FUZZ_CHECK(in != NULL && back != NULL);
    for (uint32_t p = 0; p < pages; p++) {
        list[p] = content + p * PAGE;
    }
    for (uint32_t packet = 0; packet < PACKETS; packet++) {
        for (size_t i = 0; i < sizeof(content); i++) {
            content[i] = size ? (uint8_t)(data[i % size] + packet * (i >> 9)) : 0;
        }
        size_t n = 0;
        size_t bound = mig_multifd_bound((MigMultifdMethod)method, pages * PAGE);
        MIG_FUZZ_CHECK(bound <= sizeof(wire));
        MIG_FUZZ_CHECK(mig_multifd_compress(in, list, pages, PAGE, wire, bound, &n) ==
                       MIG_CODEC_OK);
        MIG_FUZZ_CHECK(n <= bound);
        MIG_FUZZ_CHECK(mig_multifd_decompress(back, flags[method], wire, n, out, pages * PAGE) ==
                       MIG_CODEC_OK);
        MIG_FUZZ_CHECK(memcmp(out, content, pages * PAGE) == 0);
    }
    mig_multifd_codec_free(in);
    mig_multifd_codec_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    uint32_t method = data[0] % 3u;
    uint32_t pages = 1u + data[1] % PAGES_MAX;
    hostile(method, pages, data + 2, size - 2);
    faithful(method, pages, data + 2, size - 2);
    return 0;
}
