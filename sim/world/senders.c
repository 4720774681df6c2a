/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd's sending threads, see senders.h. Mirrors multifd_send_thread() and its hand-over
 * (migration/multifd.c, 10.0): a channel has room for one packet, and is idle when that is written.
 *
 * Model. One mutex; a thread holds it only to take a job and to say that it is done. A channel's
 * own data belong to its thread while it is busy, to the world while it is idle.
 *
 * Uncompressed pages are written from where they are. Pages to be compressed are copied first:
 * compressors must not see a byte change between two looks.
 */
#include "sim/world/senders.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stream/encoder.h"
#include "stream/zero.h"

#define PACKET_HEADER_MAX (MIG_MULTIFD_HEADER + 8 * MIG_MULTIFD_PACKET_BYTES / 512)

/* What is in a channel's thread's hands. */
typedef struct Job {
    MigPacket packet;
    uint64_t number;       /* of the packet */
    bool sync;             /* it is empty and says SYNC */
    const char *name;      /* of the block */
    uint64_t *pages;       /* packet.pages */
    const uint8_t **bytes; /* where the pages are */
} Job;

typedef struct Sender {
    MigSenders *all;
    MigRealChannel *channel;
    GThread *thread;
    pthread_cond_t wake;
    bool busy, synced;
    Job job;

    /* The thread's. */
    uint32_t *order;
    uint64_t *offsets;
    struct iovec *vectors;
    uint8_t header[PACKET_HEADER_MAX];
    uint8_t *copy, *packed; /* a packet's pages, and what they are compressed to; NULL until then */
    MigMultifdCodec *codec;
} Sender;

struct MigSenders {
    MigMemory *memory;
    int fd;
    GPtrArray *list; /* Sender */
    guint last;      /* the one that was given something last */
    uint64_t packets;
    pthread_mutex_t lock; /* of what follows, and of `busy` */
    bool ending;
    char *error;
    MigSendersCounts counts;
};

/* A thread ---------------------------------------------------------------------------------- */

static void wait_writable(void *opaque, MigRealChannel *c)
{
    (void)opaque;
    struct pollfd p = { .fd = mig_transport_fd(c->transport, MIG_WAIT_WRITE), .events = POLLOUT };
    poll(&p, 1, -1); /* a shutdown ends it, too */
}

static bool is_zero(void *opaque, uint32_t i)
{
    const Sender *s = opaque;
    return mig_is_zero(s->job.bytes[i], s->all->memory->page_size);
}

/* Adds vectors for the normal pages where they are; returns the number of vectors. */
static int gather(Sender *s, uint32_t normal)
{
    size_t page = s->all->memory->page_size;
    int count = 1;
    for (uint32_t i = 0; i < normal; i++) {
        const uint8_t *at = s->job.bytes[s->order[i]];
        struct iovec *last = &s->vectors[count - 1];
        if (i > 0 && (uint8_t *)last->iov_base + last->iov_len == at) {
            last->iov_len += page;
        } else {
            s->vectors[count++] = (struct iovec){ (void *)(uintptr_t)at, page };
        }
    }
    return count;
}

/* The same, compressed into one vector. 0: it can't be done. */
static int compress(Sender *s, uint32_t normal)
{
    const MigPacket *p = &s->job.packet;
    size_t page = s->all->memory->page_size, n = 0;
    size_t cap = mig_multifd_bound(mig_packet_method(p), MIG_MULTIFD_PACKET_BYTES);
    g_autofree const uint8_t **pages = g_new(const uint8_t *, normal);
    if (!s->codec) {
        s->codec = mig_multifd_compressor_new(mig_packet_method(p), p->level);
        s->copy = g_malloc(MIG_MULTIFD_PACKET_BYTES);
        s->packed = g_malloc(cap);
    }
    for (uint32_t i = 0; i < normal; i++) {
        pages[i] = memcpy(s->copy + i * page, s->job.bytes[s->order[i]], page);
    }
    if (!s->codec ||
        mig_multifd_compress(s->codec, pages, normal, page, s->packed, cap, &n) != MIG_CODEC_OK) {
        return 0;
    }
    s->vectors[1] = (struct iovec){ s->packed, n };
    return 2;
}

/* Puts the packet into the vectors; returns their number, 0: it can't be made. */
static int make_packet(Sender *s, uint32_t *normal)
{
    Job *j = &s->job;
    uint32_t page = s->all->memory->page_size;
    uint64_t size = 0;
    MigRecord r = mig_packet_record(&j->packet, j->number, page, s->offsets);
    int count = 1;
    if (j->sync) {
        r.multifd.flags = MIG_MULTIFD_FLAG_SYNC;
    } else {
        *normal = mig_packet_sort(&j->packet, is_zero, s, s->order);
        count = *normal == 0 ? 1 : j->packet.flags ? compress(s, *normal) : gather(s, *normal);
        mig_packet_fill(&r, &j->packet, j->name, page, s->order, *normal, s->offsets);
    }
    for (int i = 1; i < count; i++) {
        size += s->vectors[i].iov_len;
    }
    mig_packet_payload(&r, size);
    s->vectors[0] =
        (struct iovec){ s->header, mig_record_encode(&r, s->header, sizeof(s->header)) };
    return count;
}

static void tell(MigSenders *all)
{
    uint64_t one = 1;
    while (write(all->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* mapped-ram: pages to their places, in runs that are contiguous at both ends. */
static bool place(Sender *s, uint32_t *normal)
{
    const MigPacket *p = &s->job.packet;
    MigRealChannel *c = s->channel;
    size_t page = s->all->memory->page_size;
    *normal = s->job.sync ? 0 : mig_packet_sort(p, is_zero, s, s->order);
    for (uint32_t i = 0; !s->job.sync && i < p->count; i++) {
        mig_mapped_mark(p->mapped, p->pages[s->order[i]], i < *normal);
    }
    for (uint32_t i = 0, next; i < *normal && !c->error; i = next) {
        g_autoptr(GError) error = NULL;
        uint64_t first = p->pages[s->order[i]];
        for (next = i; next < *normal && p->pages[s->order[next]] == first + next - i; next++) {
            s->vectors[next - i] =
                (struct iovec){ (void *)(uintptr_t)s->job.bytes[s->order[next]], page };
        }
        if (!mig_transport_place(c->transport, p->mapped->pages_at + first * page, s->vectors,
                                 (int)(next - i), &error)) {
            mig_real_channel_die(c, error->message);
        }
        c->writes++;
        c->bytes += (next - i) * page;
    }
    return !c->error;
}

static bool send(Sender *s, uint32_t *normal)
{
    MigRealChannel *c = s->channel;
    int count = make_packet(s, normal);
    if (count == 0) {
        mig_real_channel_die(c, "multifd: the pages can't be compressed (no memory?)");
    }
    return mig_real_channel_write(c, s->vectors, count) && !c->error;
}

/* One packet. False: the channel is dead. */
static bool work(Sender *s)
{
    MigSenders *all = s->all;
    MigRealChannel *c = s->channel;
    uint32_t normal = 0;
    uint64_t bytes = c->bytes, writes = c->writes;
    bool fine = s->job.packet.mapped ? place(s, &normal) : send(s, &normal);
    pthread_mutex_lock(&all->lock);
    all->counts.bytes += c->bytes - bytes;
    all->counts.writes += c->writes - writes;
    if (s->job.packet.look && fine) {
        all->counts.normal += normal;
        all->counts.zero += s->job.packet.count - normal;
    }
    if (!fine && !all->error) {
        all->error = g_strdup(c->error);
    }
    s->busy = !fine; /* for ever */
    pthread_mutex_unlock(&all->lock);
    tell(all);
    return fine;
}

static gpointer run(gpointer opaque)
{
    Sender *s = opaque;
    MigSenders *all = s->all;
    for (bool fine = true; fine;) {
        pthread_mutex_lock(&all->lock);
        while (!s->busy && !all->ending) {
            pthread_cond_wait(&s->wake, &all->lock);
        }
        bool busy = s->busy;
        pthread_mutex_unlock(&all->lock);
        fine = busy && work(s);
    }
    return NULL;
}

/* The world's side -------------------------------------------------------------------------- */

static void free_sender(gpointer p)
{
    Sender *s = p;
    pthread_cond_destroy(&s->wake);
    mig_multifd_codec_free(s->codec);
    g_free(s->job.pages);
    g_free(s->job.bytes);
    g_free(s->order);
    g_free(s->offsets);
    g_free(s->vectors);
    g_free(s->copy);
    g_free(s->packed);
    g_free(s);
}

MigSenders *mig_senders_new(MigMemory *memory, GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, MIG_TRANSPORT_ERROR, errno, "multifd: cannot make an eventfd: %s",
                    g_strerror(errno));
        return NULL;
    }
    MigSenders *s = g_new0(MigSenders, 1);
    s->memory = memory;
    s->fd = fd;
    s->list = g_ptr_array_new_with_free_func(free_sender);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void mig_senders_free(MigSenders *s)
{
    if (s) {
        mig_senders_shutdown(s);
        mig_senders_stop(s);
        g_ptr_array_unref(s->list);
        pthread_mutex_destroy(&s->lock);
        close(s->fd);
        g_free(s->error);
        g_free(s);
    }
}

void mig_senders_add(MigSenders *all, MigRealChannel *c)
{
    uint32_t room = mig_packet_room(all->memory->page_size);
    Sender *s = g_new0(Sender, 1);
    s->all = all;
    s->channel = c;
    c->full = wait_writable;
    c->broken = NULL;
    pthread_cond_init(&s->wake, NULL);
    s->order = g_new(uint32_t, room);
    s->offsets = g_new(uint64_t, room);
    s->job.pages = g_new(uint64_t, room);
    s->job.bytes = g_new(const uint8_t *, room);
    s->vectors = g_new(struct iovec, room + 1);
    pthread_mutex_lock(&all->lock);
    all->counts.bytes += c->bytes; /* its initial packet */
    all->counts.writes += c->writes;
    pthread_mutex_unlock(&all->lock);
    all->last = all->list->len; /* so that the first is next */
    g_ptr_array_add(all->list, s);
    s->thread = g_thread_new("multifd-send", run, s);
}

int mig_senders_fd(const MigSenders *s)
{
    return s->fd;
}

void mig_senders_heard(MigSenders *s)
{
    uint64_t count;
    while (read(s->fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
}

static bool is_idle(const Sender *s)
{
    pthread_mutex_lock(&s->all->lock);
    bool idle = !s->busy;
    pthread_mutex_unlock(&s->all->lock);
    return idle;
}

static void begin(Sender *s, const MigPacket *p, bool sync)
{
    s->job.packet = *p;
    s->job.packet.pages = s->job.pages;
    s->job.number = s->all->packets++;
    s->job.sync = sync;
    pthread_mutex_lock(&s->all->lock);
    s->busy = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->all->lock);
}

bool mig_senders_send(MigSenders *all, const MigPacket *p)
{
    MigMemory *m = all->memory;
    for (guint i = 1; i <= all->list->len; i++) {
        guint n = (all->last + i) % all->list->len;
        Sender *s = g_ptr_array_index(all->list, n);
        if (!is_idle(s)) {
            continue;
        }
        all->last = n;
        s->job.name = m->ops->block(m, p->block)->name;
        for (uint32_t k = 0; k < p->count; k++) {
            s->job.pages[k] = p->pages[k];
            s->job.bytes[k] = m->ops->read(m, p->block, p->pages[k], NULL);
        }
        begin(s, p, false);
        return true;
    }
    return false;
}

bool mig_senders_sync(MigSenders *all, const MigPacket *p)
{
    bool done = true;
    MigPacket empty = { .allocated = p->allocated, .mapped = p->mapped };
    for (guint i = 0; i < all->list->len; i++) {
        Sender *s = g_ptr_array_index(all->list, i);
        if (!s->synced && is_idle(s)) {
            s->synced = true;
            begin(s, &empty, true);
        }
        done = done && s->synced;
    }
    return done;
}

bool mig_senders_synced(MigSenders *all)
{
    for (guint i = 0; i < all->list->len; i++) {
        if (!is_idle(g_ptr_array_index(all->list, i))) {
            return false;
        }
    }
    for (guint i = 0; i < all->list->len; i++) {
        ((Sender *)g_ptr_array_index(all->list, i))->synced = false;
    }
    return true;
}

void mig_senders_shutdown(MigSenders *all)
{
    for (guint i = 0; i < all->list->len; i++) {
        mig_transport_shutdown(((Sender *)g_ptr_array_index(all->list, i))->channel->transport);
    }
}

void mig_senders_stop(MigSenders *all)
{
    pthread_mutex_lock(&all->lock);
    all->ending = true;
    pthread_mutex_unlock(&all->lock);
    for (guint i = 0; i < all->list->len; i++) {
        Sender *s = g_ptr_array_index(all->list, i);
        if (s->thread) {
            pthread_cond_signal(&s->wake);
            g_thread_join(g_steal_pointer(&s->thread));
        }
    }
    g_ptr_array_set_size(all->list, 0); /* the channels are the world's again */
}

const char *mig_senders_error(MigSenders *s)
{
    pthread_mutex_lock(&s->lock);
    const char *error = s->error;
    pthread_mutex_unlock(&s->lock);
    return error;
}

MigSendersCounts mig_senders_counts(MigSenders *s)
{
    pthread_mutex_lock(&s->lock);
    MigSendersCounts counts = s->counts;
    pthread_mutex_unlock(&s->lock);
    return counts;
}
