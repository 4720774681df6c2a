/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XBZRLE encoder.
 *
 * The portable path walks 64-bit words: a zrun ends at the first word whose difference is not
 * zero, an nzrun at the first word whose difference has a zero byte. That costs a branch and a
 * dependent look at the data per run.
 *
 * The vector paths separate seeing from writing. Comparing 64 bytes gives a 64-bit map of changed
 * bytes; the edges of the runs are the bits that differ from their neighbour below. The edges of a
 * piece of the page are listed first and written as pairs afterwards, so neither loop waits for
 * the other's branches. As long as nothing changes, whole stretches are compared at once. Short
 * runs are copied with moves of a fixed size where there is room for the last one.
 *
 * All paths give the same bytes and overflow on the same pages.
 */
#include "stream/xbzrle.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#define MIG_XBZRLE_X86 1
#include <immintrin.h>
#else
#define MIG_XBZRLE_X86 0
#endif

#define PIECE     4096u /* bytes of page whose edges are listed at once */
#define STRETCH   256u  /* bytes that are skipped at once where nothing changed */
#define MOVE      32u   /* bytes moved at once for a short run, the last move past its end */
#define SHORT_RUN 512u  /* above that, memcpy() is better at it */

/* The delta as it grows. */
typedef struct Writer {
    const uint8_t *page; /* the new page */
    size_t page_size;
    uint8_t *delta;
    size_t capacity;
    size_t used;
    size_t done; /* page offset behind the last nzrun */
} Writer;

/* QEMU wants room for two length bytes before it looks for a run, whatever comes of it. */
static inline bool room_for_length(const Writer *w)
{
    return w->capacity - w->used >= 2;
}

static inline void put_length(Writer *w, size_t length)
{
    if (length < 0x80) {
        w->delta[w->used++] = (uint8_t)length;
    } else {
        w->delta[w->used++] = (uint8_t)(length | 0x80);
        w->delta[w->used++] = (uint8_t)(length >> 7);
    }
}

/* Appends the zrun up to start and the nzrun [start, end); false: no room, or not sayable. */
static bool put_run(Writer *w, size_t start, size_t end)
{
    size_t zrun = start - w->done, nzrun = end - start;

    if (zrun > MIG_XBZRLE_RUN_MAX || nzrun > MIG_XBZRLE_RUN_MAX || !room_for_length(w)) {
        return false;
    }
    put_length(w, zrun);
    if (!room_for_length(w)) {
        return false;
    }
    put_length(w, nzrun);
    if (nzrun > w->capacity - w->used) {
        return false;
    }
    memcpy(w->delta + w->used, w->page + start, nzrun);
    w->used += nzrun;
    w->done = end;
    return true;
}

static inline int finish(const Writer *w)
{
    if (w->done < w->page_size && !room_for_length(w)) {
        return MIG_XBZRLE_OVERFLOW;
    }
    return (int)w->used;
}

static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* The top bit of exactly the zero bytes of a word, no borrow from one byte to the next. */
static inline uint64_t zero_bytes(uint64_t word)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7full;

    return ~(((word & low) + low) | word | low);
}

static inline size_t first_byte(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

static size_t changed_from(const uint8_t *a, const uint8_t *b, size_t i, size_t n)
{
    for (; i + 8 <= n; i += 8) {
        uint64_t differ = word_at(a + i) ^ word_at(b + i);

        if (differ) {
            return i + first_byte(differ);
        }
    }
    while (i < n && a[i] == b[i]) {
        i++;
    }
    return i;
}

static size_t equal_from(const uint8_t *a, const uint8_t *b, size_t i, size_t n)
{
    for (; i + 8 <= n; i += 8) {
        uint64_t equal = zero_bytes(word_at(a + i) ^ word_at(b + i));

        if (equal) {
            return i + first_byte(equal);
        }
    }
    while (i < n && a[i] != b[i]) {
        i++;
    }
    return i;
}

static int encode_portable(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                           uint8_t *delta, size_t capacity)
{
    Writer w = { .page = new_page, .page_size = page_size, .delta = delta, .capacity = capacity };
    size_t start = changed_from(old_page, new_page, 0, page_size);

    while (start < page_size) {
        size_t end = equal_from(old_page, new_page, start + 1, page_size);

        if (!put_run(&w, start, end)) {
            return MIG_XBZRLE_OVERFLOW;
        }
        start = changed_from(old_page, new_page, end, page_size);
    }
    return finish(&w);
}

static bool always(void)
{
    return true;
}

#if MIG_XBZRLE_X86

/* Two length bytes at once: the second is garbage to be overwritten when one is enough. */
static inline size_t put_length_wide(uint8_t *out, size_t length)
{
    size_t wide = length > 0x7f;
    uint16_t both = (uint16_t)((length & 0x7f) | wide << 7 | (length >> 7) << 8);

    memcpy(out, &both, sizeof(both));
    return 1 + wide;
}

/* Where runs begin and end in one piece, as offsets from the piece's start. */
typedef struct Edges {
    uint16_t at[PIECE + 8];
    size_t count;
} Edges;

/* Number of the lowest bit that is set; of 0, anything. */
typedef unsigned FirstBitFn(uint64_t word);

/*
 * Adds the places where `changed` (bit k: byte base + k differs) switches; *inside is 1 if the byte
 * in front of it differs. Two are written without looking, more only when there are more.
 */
static inline __attribute__((always_inline)) void add_edges(Edges *edges, size_t base,
                                                            uint64_t changed, uint64_t *inside,
                                                            FirstBitFn *first_bit)
{
    uint64_t switches = changed ^ (changed << 1 | *inside);
    uint16_t *at = edges->at + edges->count;

    *inside = changed >> 63;
    if (!switches) {
        return;
    }
    edges->count += (size_t)__builtin_popcountll(switches);
    do {
        for (unsigned k = 0; k < 2; k++) {
            *at++ = (uint16_t)(base + first_bit(switches));
            switches &= switches - 1;
        }
    } while (switches);
}

/*
 * Writes the complete runs among edges[i..]. What put_run() does is done here in registers for
 * runs that are short and far from both ends, which most runs are.
 */
static inline __attribute__((always_inline)) bool put_pairs(Writer *w, const Edges *edges, size_t i,
                                                            size_t base)
{
    const uint8_t *page = w->page;
    uint8_t *out = w->delta + w->used, *limit = w->delta + w->capacity;
    size_t done = w->done, page_size = w->page_size;

    for (; i + 2 <= edges->count; i += 2) {
        size_t start = base + edges->at[i], end = base + edges->at[i + 1];
        size_t zrun = start - done, nzrun = end - start;

        if (nzrun > SHORT_RUN || zrun > MIG_XBZRLE_RUN_MAX || end + MOVE > page_size ||
            (size_t)(limit - out) < 4 + SHORT_RUN + MOVE) {
            w->used = (size_t)(out - w->delta);
            w->done = done;
            if (!put_run(w, start, end)) {
                return false;
            }
            out = w->delta + w->used;
        } else {
            out += put_length_wide(out, zrun);
            out += put_length_wide(out, nzrun);
            memcpy(out, page + start, MOVE);
            for (size_t moved = MOVE; moved < nzrun; moved += MOVE) {
                memcpy(out + moved, page + start + moved, MOVE);
            }
            out += nzrun;
        }
        done = end;
    }
    w->used = (size_t)(out - w->delta);
    w->done = done;
    return true;
}

/* Writes all runs of a piece that ends at `end`, except one that is still open there. */
static inline __attribute__((always_inline)) bool put_edges(Writer *w, const Edges *edges,
                                                            size_t base, bool *open, size_t *start)
{
    size_t i = 0;

    if (*open && edges->count) {
        if (!put_run(w, *start, base + edges->at[i++])) {
            return false;
        }
        *open = false;
    }
    if (!put_pairs(w, edges, i, base)) {
        return false;
    }
    if ((edges->count - i) % 2) {
        *open = true;
        *start = base + edges->at[edges->count - 1];
    }
    return true;
}

typedef uint64_t ChangedFn(const uint8_t *a, const uint8_t *b);
typedef bool SameFn(const uint8_t *a, const uint8_t *b);

/* The map of a last stretch below 64 bytes. */
static uint64_t changed_rest(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t changed = 0;

    for (size_t i = 0; i < n; i++) {
        changed |= (uint64_t)(a[i] != b[i]) << i;
    }
    return changed;
}

/*
 * The body of every vector path, with its kernels inlined: the map of 64 bytes, whether a whole
 * stretch is the same, and the first bit of a map. The second The latter is asked only after a
 * stretch in which nothing changed.
 */
static inline __attribute__((always_inline)) void list_edges(Edges *edges, const uint8_t *a,
                                                             const uint8_t *b, size_t n,
                                                             uint64_t *inside, ChangedFn *changed64,
                                                             SameFn *same_stretch,
                                                             FirstBitFn *first_bit)
{
    size_t i = 0;
    bool quiet = !*inside;

    edges->count = 0;
    while (i + STRETCH <= n) {
        size_t before = edges->count;

        if (quiet && same_stretch(a + i, b + i)) {
            i += STRETCH;
            continue;
        }
        for (size_t end = i + STRETCH; i < end; i += 64) {
            add_edges(edges, i, changed64(a + i, b + i), inside, first_bit);
        }
        quiet = edges->count == before && !*inside;
    }
    for (; i + 64 <= n; i += 64) {
        add_edges(edges, i, changed64(a + i, b + i), inside, first_bit);
    }
    if (i < n) {
        add_edges(edges, i, changed_rest(a + i, b + i, n - i), inside, first_bit);
    }
}

static inline __attribute__((always_inline)) int encode_vector(
    const uint8_t *old_page, const uint8_t *new_page, size_t page_size, uint8_t *delta,
    size_t capacity, ChangedFn *changed64, SameFn *same_stretch, FirstBitFn *first_bit)
{
    Writer w = { .page = new_page, .page_size = page_size, .delta = delta, .capacity = capacity };
    Edges edges;
    uint64_t inside = 0;
    bool open = false;
    size_t start = 0;

    for (size_t base = 0; base < page_size; base += PIECE) {
        size_t n = page_size - base < PIECE ? page_size - base : PIECE;

        list_edges(&edges, old_page + base, new_page + base, n, &inside, changed64, same_stretch,
                   first_bit);
        if (!put_edges(&w, &edges, base, &open, &start)) {
            return MIG_XBZRLE_OVERFLOW;
        }
    }
    if (open && !put_run(&w, start, page_size)) {
        return MIG_XBZRLE_OVERFLOW;
    }
    return finish(&w);
}

#define MIG_SSE2 __attribute__((target("sse2")))

MIG_SSE2 static inline __m128i equal16(const uint8_t *a, const uint8_t *b)
{
    return _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a),
                          _mm_loadu_si128((const __m128i *)(const void *)b));
}

MIG_SSE2 static inline uint64_t changed_sse2(const uint8_t *a, const uint8_t *b)
{
    uint64_t e0 = (uint32_t)_mm_movemask_epi8(equal16(a, b));
    uint64_t e1 = (uint32_t)_mm_movemask_epi8(equal16(a + 16, b + 16));
    uint64_t e2 = (uint32_t)_mm_movemask_epi8(equal16(a + 32, b + 32));
    uint64_t e3 = (uint32_t)_mm_movemask_epi8(equal16(a + 48, b + 48));

    return ~((e0 | e1 << 16) | (e2 << 32 | e3 << 48));
}

MIG_SSE2 static inline bool same_sse2(const uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < STRETCH; i += 64) {
        __m128i low = _mm_and_si128(equal16(a + i, b + i), equal16(a + i + 16, b + i + 16));
        __m128i high =
            _mm_and_si128(equal16(a + i + 32, b + i + 32), equal16(a + i + 48, b + i + 48));

        if (_mm_movemask_epi8(_mm_and_si128(low, high)) != 0xffff) {
            return false;
        }
    }
    return true;
}

MIG_SSE2 static inline unsigned first_bit_sse2(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word | 1ull << 63);
}

MIG_SSE2 static int encode_sse2(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                                uint8_t *delta, size_t capacity)
{
    return encode_vector(old_page, new_page, page_size, delta, capacity, changed_sse2, same_sse2,
                         first_bit_sse2);
}

#define MIG_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))

MIG_AVX2 static inline __m256i equal32(const uint8_t *a, const uint8_t *b)
{
    return _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)a),
                             _mm256_loadu_si256((const __m256i *)(const void *)b));
}

MIG_AVX2 static inline uint64_t changed_avx2(const uint8_t *a, const uint8_t *b)
{
    uint32_t low = (uint32_t)_mm256_movemask_epi8(equal32(a, b));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(equal32(a + 32, b + 32));

    return ~((uint64_t)high << 32 | low);
}

MIG_AVX2 static inline bool same_avx2(const uint8_t *a, const uint8_t *b)
{
    __m256i e0 = _mm256_and_si256(equal32(a, b), equal32(a + 32, b + 32));
    __m256i e1 = _mm256_and_si256(equal32(a + 64, b + 64), equal32(a + 96, b + 96));
    __m256i e2 = _mm256_and_si256(equal32(a + 128, b + 128), equal32(a + 160, b + 160));
    __m256i e3 = _mm256_and_si256(equal32(a + 192, b + 192), equal32(a + 224, b + 224));
    __m256i all = _mm256_and_si256(_mm256_and_si256(e0, e1), _mm256_and_si256(e2, e3));

    return _mm256_movemask_epi8(all) == -1;
}

MIG_AVX2 static inline unsigned first_bit_avx2(uint64_t word)
{
    return (unsigned)_tzcnt_u64(word);
}

MIG_AVX2 static int encode_avx2(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                                uint8_t *delta, size_t capacity)
{
    return encode_vector(old_page, new_page, page_size, delta, capacity, changed_avx2, same_avx2,
                         first_bit_avx2);
}

static bool has_sse2(void)
{
    return __builtin_cpu_supports("sse2");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

#endif

const MigXbzrleImpl mig_xbzrle_impls[] = {
    { "portable", always, encode_portable },
#if MIG_XBZRLE_X86
    { "sse2", has_sse2, encode_sse2 },
    { "avx2", has_avx2, encode_avx2 },
#endif
    { NULL, NULL, NULL },
};

typedef int EncodeFn(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                     uint8_t *delta, size_t capacity);

static EncodeFn encode_first_call;

/* Every thread that races here stores the same pointer, so relaxed order is enough. */
static _Atomic(EncodeFn *) encode_fn = encode_first_call;

static int encode_first_call(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                             uint8_t *delta, size_t capacity)
{
    EncodeFn *best = encode_portable;

    for (const MigXbzrleImpl *impl = mig_xbzrle_impls; impl->name; impl++) {
        if (impl->supported()) {
            best = impl->encode;
        }
    }
    atomic_store_explicit(&encode_fn, best, memory_order_relaxed);
    return best(old_page, new_page, page_size, delta, capacity);
}

int mig_xbzrle_encode(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                      uint8_t *delta, size_t capacity)
{
    EncodeFn *encode = atomic_load_explicit(&encode_fn, memory_order_relaxed);

    return encode(old_page, new_page, page_size, delta, capacity);
}
