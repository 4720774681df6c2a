/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd's receiving threads, see receivers.h. Mirrors multifd_recv_thread() and
 * multifd_recv_sync_main() (migration/multifd.c, 10.0). One mutex, held for moments; a channel that
 * ends between two packets has ended well, unless the main channel waits for its SYNC.
 */
#include "sim/world/receivers.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTORS 160 /* a packet of pages of 4 KiB, and the next header */

typedef struct Receiver {
    MigReceivers *all;
    MigTransport *transport;
    uint32_t number; /* from 1, in the order of arrival */
    GThread *thread;
    uint64_t reads; /* system calls */
    bool ended;
} Receiver;

struct MigReceivers {
    MigDestMultifd *multifd;
    int fd;
    Receiver *list;
    uint32_t count;
    pthread_mutex_t lock; /* of what follows, and of `ended` */
    pthread_cond_t released;
    bool ending;
    char *error;
};

static void tell(MigReceivers *all)
{
    uint64_t one = 1;
    while (write(all->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* A thread ---------------------------------------------------------------------------------- */

/* Takes |text| over. */
static bool fail(Receiver *r, char *text)
{
    MigReceivers *all = r->all;
    pthread_mutex_lock(&all->lock);
    if (!all->error && !all->ending) {
        all->error = g_strdup_printf("multifd channel %u: %s", r->number, text);
    }
    pthread_mutex_unlock(&all->lock);
    g_free(text);
    tell(all);
    return false;
}

static bool fail_diagnosis(Receiver *r, const MigDiagnosis *d)
{
    return fail(r, g_strdup_printf("byte %" PRIu64 ", %s: expected %s, found %s", d->offset,
                                   d->path, d->expected, d->found));
}

/* At a sync point: until the main channel has come there. False: it is over. */
static bool wait_released(Receiver *r)
{
    MigReceivers *all = r->all;
    tell(all);
    pthread_mutex_lock(&all->lock);
    while (!all->ending && mig_dest_multifd_ahead(all->multifd, r->number)) {
        pthread_cond_wait(&all->released, &all->lock);
    }
    bool fine = !all->ending;
    pthread_mutex_unlock(&all->lock);
    return fine;
}

static bool wait_readable(const Receiver *r)
{
    struct pollfd p = { .fd = mig_transport_fd(r->transport, MIG_WAIT_READ), .events = POLLIN };
    poll(&p, 1, -1); /* a shutdown ends it, too */
    return true;
}

static bool end_of_channel(Receiver *r)
{
    if (!mig_dest_multifd_may_end(r->all->multifd, r->number)) {
        return fail(r, g_strdup("it ended inside a packet"));
    }
    pthread_mutex_lock(&r->all->lock);
    r->ended = true;
    pthread_mutex_unlock(&r->all->lock);
    tell(r->all);
    return false;
}

/* Reads once. False: that was the end. */
static bool step(Receiver *r)
{
    MigSpan places[VECTORS];
    struct iovec v[VECTORS];
    MigDiagnosis bad;
    g_autoptr(GError) error = NULL;
    int count = mig_dest_multifd_want(r->all->multifd, r->number, places, VECTORS);
    for (int i = 0; i < count; i++) {
        v[i] = (struct iovec){ places[i].at, places[i].n };
    }
    if (count == 0) {
        return wait_released(r);
    }
    int64_t n = mig_transport_read(r->transport, v, count, &error);
    if (n == MIG_IO_AGAIN) {
        return wait_readable(r);
    }
    if (n == MIG_IO_ERROR) {
        return fail(r, g_strdup(error->message));
    }
    if (n == 0) {
        return end_of_channel(r);
    }
    return mig_dest_multifd_filled(r->all->multifd, r->number, (size_t)n, &bad) ||
           fail_diagnosis(r, &bad);
}

static gpointer run(gpointer opaque)
{
    Receiver *r = opaque;
    while (step(r)) {
        r->reads++;
    }
    return NULL;
}

/* The main thread's side -------------------------------------------------------------------- */

MigReceivers *mig_receivers_new(MigDestMultifd *m, MigTransport *const *list, uint32_t count,
                                GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, MIG_TRANSPORT_ERROR, errno, "multifd: cannot make an eventfd: %s",
                    g_strerror(errno));
        for (uint32_t i = 0; i < count; i++) {
            mig_transport_close(list[i], NULL);
        }
        return NULL;
    }
    MigReceivers *all = g_new0(MigReceivers, 1);
    all->multifd = m;
    all->fd = fd;
    all->count = count;
    all->list = g_new0(Receiver, count);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->released, NULL);
    mig_dest_multifd_open(m, count);
    for (uint32_t i = 0; i < count; i++) {
        Receiver *r = &all->list[i];
        *r = (Receiver){ .all = all, .transport = list[i], .number = i + 1 };
        r->thread = g_thread_new("multifd-recv", run, r);
    }
    return all;
}

uint64_t mig_receivers_stop(MigReceivers *all)
{
    uint64_t reads = 0;
    pthread_mutex_lock(&all->lock);
    all->ending = true;
    pthread_cond_broadcast(&all->released);
    pthread_mutex_unlock(&all->lock);
    for (uint32_t i = 0; i < all->count; i++) {
        mig_transport_shutdown(all->list[i].transport);
    }
    for (uint32_t i = 0; i < all->count; i++) {
        g_thread_join(all->list[i].thread);
        mig_transport_close(all->list[i].transport, NULL);
        reads += all->list[i].reads;
    }
    all->count = 0;
    return reads;
}

void mig_receivers_free(MigReceivers *all)
{
    if (all) {
        mig_receivers_stop(all);
        pthread_mutex_destroy(&all->lock);
        pthread_cond_destroy(&all->released);
        close(all->fd);
        g_free(all->list);
        g_free(all->error);
        g_free(all);
    }
}

int mig_receivers_fd(const MigReceivers *r)
{
    return r->fd;
}

void mig_receivers_heard(MigReceivers *r)
{
    uint64_t count;
    while (read(r->fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
}

/* A channel that has ended says no SYNC any more. */
static void look_for_ended(MigReceivers *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const Receiver *r = &all->list[i];
        if (r->ended && !all->error && !mig_dest_multifd_ahead(all->multifd, r->number)) {
            all->error = g_strdup_printf("multifd channel %u: it ended without the SYNC that the "
                                         "main channel waits for",
                                         r->number);
        }
    }
}

bool mig_receivers_sync(MigReceivers *all)
{
    MigDiagnosis unused;
    pthread_mutex_lock(&all->lock);
    bool ready = mig_dest_multifd_ready(all->multifd);
    if (ready) {
        mig_dest_multifd_sync(all->multifd, &unused);
        pthread_cond_broadcast(&all->released);
    } else {
        look_for_ended(all);
    }
    pthread_mutex_unlock(&all->lock);
    return ready;
}

const char *mig_receivers_error(MigReceivers *all)
{
    pthread_mutex_lock(&all->lock);
    const char *error = all->error;
    pthread_mutex_unlock(&all->lock);
    return error;
}
