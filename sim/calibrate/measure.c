/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measures, see calibrate.h. Model: what one thread of QEMU pays, in its own CPU time, so that
 * others on the host disturb little; but for sleeps, where lateness is the point. Each works on 16
 * MiB, more than caches of level 2 hold, as a migration does.
 *
 * Limits. A socket pair of this process stands for the link's socket. Memory is not shared with a
 * guest: what a KVM guest's second page tables cost is in none of those here.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/calibrate/measures.h"
#include "sim/engine/bitmap.h"
#include "sim/world/prng.h"
#include "stream/xbzrle.h"
#include "stream/zero.h"

#define PAGE      4096u
#define PAGES     4096u /* 16 MiB */
#define PACKED    512u  /* pages for the slow codecs */
#define RUN       32u   /* pages of one writev, as QEMU's stream object has it */
#define SLEEP_NS  10000000
#define SLEEPS    3
#define PS_PER_NS 1000
#define GIB_PAGES (1u << 18)

/* Memory that nobody has touched; NULL where there is none. */
static guint8 *fresh(bool shared)
{
    int flags = MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE);
    void *at = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void drop(guint8 *at)
{
    if (at) {
        munmap(at, (size_t)PAGES * PAGE);
    }
}

/* No page of it is zero. */
static guint8 *filled(bool shared)
{
    guint8 *at = fresh(shared);
    guint64 key = mig_prng_key(1, "calibrate", 0);
    for (guint i = 0; at && i < PAGES * (PAGE / 8); i++) {
        ((guint64 *)(void *)at)[i] = mig_prng_at(key, i) | 1;
    }
    return at;
}

static gint64 zero_page(bool shared)
{
    guint8 *at = fresh(shared);
    guint zeros = 0;
    if (!at) {
        return -1;
    }
    gint64 began = mig_measure_cpu();
    for (guint i = 0; i < PAGES; i++) {
        zeros += mig_is_zero(at + (size_t)i * PAGE, PAGE);
    }
    gint64 spent = mig_measure_cpu() - began;
    drop(at);
    return zeros == PAGES ? spent * PS_PER_NS / PAGES : -1;
}

/* A socket ------------------------------------------------------------------------------------ */

typedef struct Transfer {
    int ends[2];
    guint8 *from, *to;
    gint64 sent_ns, received_ns; /* CPU time; negative: it broke */
} Transfer;

static void *receive(void *opaque)
{
    Transfer *t = opaque;
    size_t done = 0, all = (size_t)PAGES * PAGE;
    gint64 began = mig_measure_cpu();
    while (done < all) {
        ssize_t n = read(t->ends[1], t->to + done, MIN(all - done, (size_t)RUN * PAGE));
        if (n <= 0 && errno != EINTR) {
            return NULL;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    t->received_ns = mig_measure_cpu() - began;
    return NULL;
}

/* A run of pages with a header each, as far as the socket takes it at once, then the rest. */
static bool write_run(const Transfer *t, guint first)
{
    struct iovec pieces[RUN];
    for (guint i = 0; i < RUN; i++) {
        guint8 *page = t->from + (size_t)(first + i) * PAGE;
        if (mig_is_zero(page, PAGE)) {
            return false;
        }
        pieces[i] = (struct iovec){ page, PAGE };
    }
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = RUN };
    ssize_t n = sendmsg(t->ends[0], &message, MSG_NOSIGNAL);
    size_t done = n > 0 ? (size_t)n : 0, all = (size_t)RUN * PAGE;
    const guint8 *at = t->from + (size_t)first * PAGE;
    while (n > 0 && done < all) {
        n = send(t->ends[0], at + done, all - done, MSG_NOSIGNAL);
        done += n > 0 ? (size_t)n : 0;
    }
    return done == all;
}

static bool transfer(Transfer *t)
{
    pthread_t reader;
    bool fine = true;
    t->sent_ns = t->received_ns = -1;
    if (pthread_create(&reader, NULL, receive, t) != 0) {
        return false;
    }
    gint64 began = mig_measure_cpu();
    for (guint i = 0; i < PAGES && fine; i += RUN) {
        fine = write_run(t, i);
    }
    t->sent_ns = mig_measure_cpu() - began;
    shutdown(t->ends[0], SHUT_WR); /* a reader that waits for more goes home */
    pthread_join(reader, NULL);
    return fine && t->received_ns >= 0;
}

/* All pages once; the receiver's memory was written before if |touched|. */
static bool send_all(bool shared, bool touched, Transfer *t)
{
    *t = (Transfer){ .from = filled(shared), .to = touched ? filled(shared) : fresh(shared) };
    bool fine = t->from && t->to && socketpair(AF_UNIX, SOCK_STREAM, 0, t->ends) == 0;
    if (fine) {
        fine = transfer(t);
        close(t->ends[0]);
        close(t->ends[1]);
    }
    drop(t->from);
    drop(t->to);
    return fine;
}

static gint64 normal_page(bool shared)
{
    Transfer t;
    return send_all(shared, true, &t) ? t.sent_ns * PS_PER_NS / PAGES : -1;
}

static gint64 receive_page(bool shared)
{
    Transfer t;
    return send_all(shared, true, &t) ? t.received_ns * PS_PER_NS / PAGES : -1;
}

static gint64 first_touch(bool shared)
{
    Transfer old, new;
    if (!send_all(shared, true, &old) || !send_all(shared, false, &new)) {
        return -1;
    }
    return MAX(new.received_ns - old.received_ns, 0) * PS_PER_NS / PAGES;
}

/* Codecs -------------------------------------------------------------------------------------- */

/* Pages as they were, as they are (8 bytes of each have changed), and room for deltas. */
typedef struct Deltas {
    guint8 *old, *new;
    guint8 delta[PAGES][64];
    int sizes[PAGES];
} Deltas;

static bool make_deltas(Deltas *d, bool shared)
{
    d->old = filled(shared);
    d->new = filled(shared);
    for (guint i = 0; d->old && d->new &&i < PAGES; i++) {
        d->new[(size_t)i * PAGE + PAGE / 2] ^= 0xff;
    }
    return d->old && d->new;
}

static bool encode(Deltas *d)
{
    bool fine = true;
    for (guint i = 0; i < PAGES; i++) {
        size_t at = (size_t)i * PAGE;
        d->sizes[i] =
            mig_xbzrle_encode(d->old + at, d->new + at, PAGE, d->delta[i], sizeof(d->delta[i]));
        fine = fine && d->sizes[i] > 0;
    }
    return fine;
}

static gint64 delta_cost(bool shared, bool decoding)
{
    g_autofree Deltas *d = g_new0(Deltas, 1);
    gint64 spent = -1, began = 0;
    if (make_deltas(d, shared)) {
        began = mig_measure_cpu();
        bool fine = encode(d);
        for (guint i = 0; i < PAGES && !decoding; i++) { /* the cache takes the page over */
            memcpy(d->old + (size_t)i * PAGE, d->new + (size_t)i *PAGE, PAGE);
        }
        if (decoding) {
            began = mig_measure_cpu();
            for (guint i = 0; i < PAGES && fine; i++) {
                fine = mig_xbzrle_decode(d->delta[i], (size_t)d->sizes[i],
                                         d->old + (size_t)i * PAGE, PAGE, NULL) == MIG_XBZRLE_OK;
            }
        }
        spent = fine ? (mig_measure_cpu() - began) * PS_PER_NS / PAGES : -1;
    }
    drop(d->old);
    drop(d->new);
    return spent;
}

static gint64 xbzrle_page(bool shared)
{
    return delta_cost(shared, false);
}

static gint64 receive_delta(bool shared)
{
    return delta_cost(shared, true);
}

/* Of each page the second half is one byte. */
static void half_random(guint8 *page, guint i)
{
    guint64 key = mig_prng_key(2, "calibrate", i);
    for (guint word = 0; word < PAGE / 16; word++) {
        guint64 random = mig_prng_at(key, word);
        memcpy(page + (size_t)word * 8, &random, 8);
    }
    memset(page + PAGE / 2, (int)(i & 0xff), PAGE / 2);
}

static gint64 zlib_page(bool shared)
{
    guint8 page[PAGE], out[2 * PAGE];
    gint64 spent = 0;
    (void)shared;
    for (guint i = 0; i < PACKED; i++) {
        uLongf n = sizeof(out);
        half_random(page, i);
        gint64 began = mig_measure_cpu();
        if (compress2(out, &n, page, PAGE, 1) != Z_OK) {
            return -1;
        }
        spent += mig_measure_cpu() - began;
    }
    return spent * PS_PER_NS / PACKED;
}

static gint64 inflate_page(bool shared)
{
    guint8 page[PAGE], out[2 * PAGE];
    gint64 spent = 0;
    (void)shared;
    for (guint i = 0; i < PACKED; i++) {
        uLongf n = sizeof(out), back = PAGE;
        half_random(page, i);
        if (compress2(out, &n, page, PAGE, 1) != Z_OK) {
            return -1;
        }
        gint64 began = mig_measure_cpu();
        if (uncompress(page, &back, out, n) != Z_OK) {
            return -1;
        }
        spent += mig_measure_cpu() - began;
    }
    return spent * PS_PER_NS / PACKED;
}

static gint64 zstd_page(bool shared)
{
    guint8 page[PAGE], out[2 * PAGE];
    ZSTD_CCtx *context = ZSTD_createCCtx();
    gint64 spent = 0;
    (void)shared;
    for (guint i = 0; i < PACKED && spent >= 0; i++) {
        half_random(page, i);
        gint64 began = mig_measure_cpu();
        size_t n = ZSTD_compressCCtx(context, out, sizeof(out), page, PAGE, 1);
        spent = ZSTD_isError(n) ? -1 : spent + mig_measure_cpu() - began;
    }
    ZSTD_freeCCtx(context);
    return spent < 0 ? -1 : spent * PS_PER_NS / PACKED;
}

/* Others -------------------------------------------------------------------------------------- */

/* A GiB, of which every eighth word has news: the merging alone. */
static gint64 merge_gib(bool shared)
{
    MigBitmap *log = mig_bitmap_new(GIB_PAGES), *dirty = mig_bitmap_new(GIB_PAGES);
    (void)shared;
    for (guint64 word = 0; word < GIB_PAGES / 64; word += 8) {
        mig_bitmap_set_mask(log, word, 0x00ff00ff00ff00ff);
    }
    gint64 began = mig_measure_cpu();
    guint64 found = mig_bitmap_move(dirty, log);
    gint64 spent = mig_measure_cpu() - began;
    mig_bitmap_free(log);
    mig_bitmap_free(dirty);
    return found == GIB_PAGES / 64 / 8 * 32 ? spent : -1;
}

static gint64 wake(bool shared)
{
    gint64 late = 0;
    (void)shared;
    for (int i = 0; i < SLEEPS; i++) {
        struct timespec t = { 0, SLEEP_NS };
        gint64 began = mig_measure_wall();
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        late += mig_measure_wall() - began - SLEEP_NS;
    }
    return MAX(late / SLEEPS, 0);
}

static gint64 processors(bool shared)
{
    (void)shared;
    return sysconf(_SC_NPROCESSORS_ONLN);
}

#define ENGINE "the engine's own code"
#define KERNEL "the kernel"
#define KVM    "a guest of ours in KVM"

/* Of two measures of one cost the later counts, where this host can take it. */
const MigMeasure mig_measures[] = {
    { "zero_page", ENGINE, zero_page },
    { "normal_page", ENGINE, normal_page },
    { "receive_page", ENGINE, receive_page },
    { "first_touch", ENGINE, first_touch },
    { "xbzrle_page", ENGINE, xbzrle_page },
    { "receive_delta", ENGINE, receive_delta },
    { "zlib_page", ENGINE, zlib_page },
    { "zstd_page", ENGINE, zstd_page },
    { "inflate_page", ENGINE, inflate_page },
    { "sync_gib", ENGINE, merge_gib },
    { "wake", KERNEL, wake },
    { "connect", KERNEL, mig_measure_connect },
    { "fault", KERNEL, mig_measure_fault },
    { "hear", KERNEL, mig_measure_hear },
    { "place_page", KERNEL, mig_measure_place_page },
    { "protect_gib", KERNEL, mig_measure_protect_gib },
    { "sync_gib", KVM, mig_measure_sync_gib },
    { "clear_chunk", KVM, mig_measure_clear_chunk },
    { "stop", KVM, mig_measure_stop },
    { "multifd_threads", KERNEL, processors },
    { "compress_threads", KERNEL, processors },
    { NULL, NULL, NULL },
};
