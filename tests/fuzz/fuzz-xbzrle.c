/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XBZRLE codec. The input is read twice: as a delta, which must be refused or applied within
 * the page, as the check without a page says; and as a page, whose delta against another must
 * decode to it and be the same from every implementation.
 */
#include <string.h>

#include "stream/xbzrle.h"
#include "tests/fuzz/fuzz.h"

#define PAGE 4096u

static void as_delta(const uint8_t *data, size_t size)
{
    static uint8_t page[PAGE];
    memset(page, 0x55, sizeof(page));
    MigXbzrleInfo applied, checked;
    MigXbzrleFault fault = mig_xbzrle_decode(data, size, page, PAGE, &applied);
    MIG_FUZZ_CHECK(fault == mig_xbzrle_check(data, size, PAGE, &checked));
    MIG_FUZZ_CHECK(applied.at == checked.at && applied.end == checked.end);
    MIG_FUZZ_CHECK(applied.end <= PAGE);
}

static void as_page(const uint8_t *data, size_t size)
{
    static uint8_t old_page[PAGE], new_page[PAGE], delta[PAGE], other[PAGE];
    for (size_t i = 0; i < PAGE; i++) {
        old_page[i] = (uint8_t)(i >> 3);
        new_page[i] = size ? (uint8_t)(old_page[i] ^ (data[i % size] & 0x0f)) : old_page[i];
    }
    /* Short inputs make sparse changes, too. */
    for (size_t i = 0; size && i < PAGE; i += 1u + 16u * data[i % size]) {
        new_page[i] = old_page[i];
    }
    int n = mig_xbzrle_encode(old_page, new_page, PAGE, delta, PAGE);
    for (const MigXbzrleImpl *impl = mig_xbzrle_impls; impl->name; impl++) {
        if (impl->supported()) {
            MIG_FUZZ_CHECK(impl->encode(old_page, new_page, PAGE, other, PAGE) == n);
            MIG_FUZZ_CHECK(n <= 0 || memcmp(delta, other, (size_t)n) == 0);
        }
    }
    if (n == MIG_XBZRLE_UNCHANGED) {
        MIG_FUZZ_CHECK(memcmp(old_page, new_page, PAGE) == 0);
    } else if (n > 0) {
        MigXbzrleInfo info;
        MIG_FUZZ_CHECK(mig_xbzrle_decode(delta, (size_t)n, old_page, PAGE, &info) == MIG_XBZRLE_OK);
        MIG_FUZZ_CHECK(info.notes == 0);
        MIG_FUZZ_CHECK(memcmp(old_page, new_page, PAGE) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_delta(data, size);
    as_page(data, size);
    return 0;
}
