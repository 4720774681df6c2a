/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaying, see replay.h. Model: one loop; chunks of the recording become parcels of their
 * connection's queue, which is written as the destination takes it; answers are read all the time.
 *
 * The connections of a generation are made when its main channel has sent its first chunk, main
 * first: a destination may wait for all of them before it reads on, while a recording shows a
 * channel only with its first byte.
 *
 * Limits: QUEUE_BYTES wait for all connections together; then the recording waits.
 */
#include "sim/record/replay.h"

#include <errno.h>
#include <gio/gio.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "sim/record/answers.h"
#include "sim/world/capture.h"
#include "sim/world/clock.h"
#include "sim/world/transport.h"

#define READ_BYTES     (64u << 10)
#define END_MARK_BYTES 8u /* of a RAM section */
#define QUEUE_BYTES    (64u << 20)
#define TRY_AGAIN_NS   (20 * MIG_NS_PER_MS)
#define LOOK_AGAIN_NS  (200 * MIG_NS_PER_US)
/* A destination that has everything up to a break, but has not begun to run its guest, can't pause
 * yet: it fails. The recorded one had. */
#define BEFORE_BREAK_NS (500 * MIG_NS_PER_MS)

typedef struct Line {
    char *name;
    MigChannel kind;
    unsigned generation;
    MigTransport *transport; /* NULL: not connected, or closed */
    GQueue parcels;          /* GBytes */
    gsize done;              /* bytes of the first one that are written */
    gboolean hung_up;        /* the other end sends no more */
} Line;

typedef struct Replay {
    const MigReplayConfig *config;
    MigReplayCounts *counts;
    int wake;
    MigCapture *capture; /* NULL: a plain stream */
    MigInput *input;     /* of that */
    GPtrArray *lines;    /* Line, by channel of the capture */
    unsigned generation;
    MigExpected *answers; /* of this generation; NULL: no connection so far */
    gsize queued;
    gint64 began;
    guint64 first_ns;  /* of the recording */
    gboolean complete; /* all connections of the generation were made */
    gboolean interrupted;
} Replay;

/* Lines ------------------------------------------------------------------------------------ */

static void line_close(Line *l)
{
    if (l->transport) {
        mig_transport_close(l->transport, NULL);
        l->transport = NULL;
    }
}

static void line_free(gpointer data)
{
    Line *l = data;
    line_close(l);
    g_queue_clear_full(&l->parcels, (GDestroyNotify)g_bytes_unref);
    g_free(l->name);
    g_free(l);
}

static void add_line(Replay *p, const char *name, MigChannel kind, unsigned generation)
{
    Line *l = g_new0(Line, 1);
    l->name = g_strdup(name);
    l->kind = kind;
    l->generation = generation;
    g_queue_init(&l->parcels);
    g_ptr_array_add(p->lines, l);
}

static gboolean is_main(const Line *l)
{
    return l->kind == MIG_CHANNEL_MAIN || l->kind == MIG_CHANNEL_RECOVERY;
}

static gboolean is_answers(const Line *l)
{
    return l->kind == MIG_CHANNEL_RETURN_PATH;
}

/* All channels that the recording has. */
static gboolean list_lines(Replay *p, GError **error)
{
    g_autoptr(MigInput) input = mig_input_open(p->config->path, error);
    if (!input) {
        return FALSE;
    }
    if (!mig_capture_probe(input)) {
        p->input = g_steal_pointer(&input);
        add_line(p, "main", MIG_CHANNEL_MAIN, 0);
        return TRUE;
    }
    MigChunk chunk;
    GError *problem = NULL;
    g_autoptr(MigCapture) all = mig_capture_new(g_steal_pointer(&input));
    while (mig_capture_chunk(all, &chunk, &problem)) {
    }
    for (unsigned i = 0; i < mig_capture_channel_count(all); i++) {
        const MigCaptureChannel *c = mig_capture_channel(all, i);
        add_line(p, c->name, c->kind, c->generation);
    }
    if (!problem && mig_capture_cut(all)) {
        g_set_error(&problem, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                    "%s: the recording is cut off behind packet %" G_GUINT64_FORMAT
                    ": a migration without its end can't be played",
                    mig_capture_name(all), mig_capture_cut(all)->packets);
    }
    if (problem) {
        g_propagate_error(error, problem);
        return FALSE;
    }
    p->capture = mig_capture_open(p->config->path, error);
    return p->capture != NULL;
}

/* Moving bytes ----------------------------------------------------------------------------- */

static gboolean deviates(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean deviates(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, MIG_REPLAY_ERROR, MIG_REPLAY_ERROR_PEER, text);
    return FALSE;
}

static gboolean read_line(Replay *p, Line *l, GError **error)
{
    guint8 bytes[READ_BYTES];
    struct iovec v = { bytes, sizeof(bytes) };
    int64_t n = mig_transport_read(l->transport, &v, 1, NULL);
    if (n == MIG_IO_AGAIN) {
        return TRUE;
    }
    if (n <= 0) {
        l->hung_up = TRUE;
        return TRUE;
    }
    if (!is_main(l)) {
        return deviates(error, "%s: the destination says something on this channel", l->name);
    }
    return mig_expected_said(p->answers, bytes, (gsize)n) ||
           deviates(error, "%s", mig_expected_error(p->answers));
}

static gboolean write_line(Replay *p, Line *l, GError **error)
{
    GBytes *first;
    while ((first = g_queue_peek_head(&l->parcels))) {
        gsize size;
        const guint8 *data = g_bytes_get_data(first, &size);
        struct iovec v = { (void *)(data + l->done), size - l->done };
        int64_t n = mig_transport_write(l->transport, &v, 1, NULL);
        if (n == MIG_IO_AGAIN) {
            return TRUE;
        }
        if (n == MIG_IO_ERROR && l->kind == MIG_CHANNEL_PREEMPT &&
            size - l->done <= END_MARK_BYTES) {
            n = (int64_t)(size - l->done); /* it has completed and doesn't wait for the end mark */
        } else if (n == MIG_IO_ERROR) {
            return deviates(error,
                            "%s: the destination closed it with %" G_GSIZE_FORMAT
                            " recorded bytes to go",
                            l->name, p->queued);
        }
        l->done += (gsize)n;
        p->queued -= (gsize)n;
        p->counts->sent += (guint64)n;
        if (l->done == size) {
            g_bytes_unref(g_queue_pop_head(&l->parcels));
            l->done = 0;
        }
    }
    return TRUE;
}

/* Waits at most |ns| (negative: until something comes) and moves what can be moved. */
static gboolean pump(Replay *p, gint64 ns, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    struct pollfd wake = { p->wake, POLLIN, 0 };
    struct timespec span = { ns / MIG_NS_PER_S, ns % MIG_NS_PER_S };
    g_array_append_val(fds, wake);
    for (guint i = 0; i < p->lines->len; i++) {
        Line *l = p->lines->pdata[i];
        struct pollfd f = { -1, 0, 0 };
        if (l->transport && (!l->hung_up || l->parcels.length)) {
            f.fd = mig_transport_fd(l->transport, MIG_WAIT_WRITE);
            f.events = (short)((l->hung_up ? 0 : POLLIN) | (l->parcels.length ? POLLOUT : 0));
        }
        g_array_append_val(fds, f);
    }
    if (ppoll((struct pollfd *)(void *)fds->data, fds->len, ns < 0 ? NULL : &span, NULL) <= 0) {
        return TRUE;
    }
    p->interrupted = g_array_index(fds, struct pollfd, 0).revents != 0;
    for (guint i = 0; i < p->lines->len; i++) {
        Line *l = p->lines->pdata[i];
        short ready = g_array_index(fds, struct pollfd, i + 1).revents;
        if (ready & (POLLIN | POLLHUP | POLLERR) && !l->hung_up && !read_line(p, l, error)) {
            return FALSE;
        }
        if (ready & (POLLOUT | POLLERR) && l->parcels.length && !write_line(p, l, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gint64 now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

static gboolean all_said(const Replay *p)
{
    return mig_expected_missing(p->answers) == 0;
}

static gboolean hung_up(const Replay *p)
{
    for (guint i = 0; i < p->lines->len; i++) {
        const Line *l = p->lines->pdata[i];
        if (l->transport && is_main(l) && !l->hung_up) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Until |there| is true of |p|; what is waited for stands in |what|. */
static gboolean wait_until(Replay *p, gboolean (*there)(const Replay *p), const char *what,
                           GError **error)
{
    gint64 end = now_ns() + p->config->patience;
    while (!there(p) && !p->interrupted) {
        gint64 left = end - now_ns();
        if (left <= 0 || (there == all_said && hung_up(p))) {
            g_autofree char *next = p->answers ? mig_expected_next(p->answers) : NULL;
            return deviates(error, "%s: %s%s%s", what,
                            left > 0 ? "the destination hung up" : "nothing more came in time",
                            next ? "; expected " : "", next ? next : "");
        }
        if (!pump(p, left, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean all_written(const Replay *p)
{
    return p->queued == 0;
}

/* The destination has read everything on the preempt channel, as far as the socket knows. */
static gboolean preempt_is_read(const Replay *p)
{
    for (guint i = 0; i < p->lines->len; i++) {
        const Line *l = p->lines->pdata[i];
        int waiting = 0;
        if (l->transport && l->kind == MIG_CHANNEL_PREEMPT &&
            (l->parcels.length ||
             (!ioctl(mig_transport_fd(l->transport, MIG_WAIT_WRITE), SIOCOUTQ, &waiting) &&
              waiting))) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean has_room(const Replay *p)
{
    return p->queued < QUEUE_BYTES;
}

/* Connections ------------------------------------------------------------------------------ */

static gboolean connect_line(Replay *p, Line *l, GError **error)
{
    const MigUri *uri =
        p->generation && p->config->connect_again ? p->config->connect_again : p->config->connect;
    gint64 end = now_ns() + (p->generation ? p->config->patience : 0);
    for (;;) {
        g_autoptr(GError) problem = NULL;
        l->transport = mig_transport_connect(uri, true, p->wake, &problem);
        if (l->transport) {
            p->counts->connections++;
            return TRUE;
        }
        if (now_ns() >= end || problem->code == EINTR) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem), "%s: ", l->name);
            return FALSE;
        }
        g_usleep(TRY_AGAIN_NS / 1000);
    }
}

/* Until 7.2 the first connection is the main one, whoever speaks first. */
static gboolean connect_main(Replay *p, GError **error)
{
    for (guint i = 0; i < p->lines->len; i++) {
        Line *l = p->lines->pdata[i];
        if (l->generation == p->generation && is_main(l)) {
            return connect_line(p, l, error);
        }
    }
    return TRUE;
}

static gboolean connect_others(Replay *p, GError **error)
{
    p->complete = TRUE;
    for (guint i = 0; i < p->lines->len; i++) {
        Line *l = p->lines->pdata[i];
        if (l->generation == p->generation && !l->transport && !is_answers(l) && !is_main(l) &&
            !connect_line(p, l, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean rest(Replay *p, gint64 ns, GError **error)
{
    gint64 end = now_ns() + ns;
    for (gint64 left; (left = end - now_ns()) > 0 && !p->interrupted;) {
        if (!pump(p, left, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* All lines end, and so does the destination's side of them. */
static gboolean end_generation(Replay *p, GError **error)
{
    for (guint i = 0; i < p->lines->len; i++) {
        Line *l = p->lines->pdata[i];
        if (l->transport) {
            mig_transport_end(l->transport);
        }
    }
    if (!wait_until(p, hung_up, "the end", error)) {
        return FALSE;
    }
    p->counts->requests_recorded += mig_expected_requests(p->answers, FALSE);
    p->counts->requests += mig_expected_requests(p->answers, TRUE);
    for (guint i = 0; i < p->lines->len; i++) {
        line_close(p->lines->pdata[i]);
    }
    g_clear_pointer(&p->answers, mig_expected_free);
    return TRUE;
}

/* The line of a chunk is about to be used: connections for it. */
static gboolean open_for(Replay *p, Line *l, GError **error)
{
    if (l->generation > p->generation) {
        if (p->answers && !(wait_until(p, all_written, "sending", error) &&
                            rest(p, BEFORE_BREAK_NS, error) && end_generation(p, error))) {
            return FALSE;
        }
        p->generation = l->generation;
        p->complete = FALSE;
        p->counts->breaks++;
        if (p->config->broke) {
            p->config->broke(p->config->opaque, p->generation);
        }
    }
    if (!p->answers) {
        p->answers = mig_expected_new();
        if (!connect_main(p, error)) {
            return FALSE;
        }
    }
    return is_answers(l) || l->transport || connect_line(p, l, error);
}

/* Chunks ----------------------------------------------------------------------------------- */

/*
 * Recorded pages on the preempt channel were asked for and waited for; nobody waits for these, and
 * the end of the main channel would overtake them.
 */
static gboolean let_preempt_pass(Replay *p, const Line *next, GError **error)
{
    gint64 end = now_ns() + p->config->patience;
    while (next->kind != MIG_CHANNEL_PREEMPT && !preempt_is_read(p) && !p->interrupted) {
        if (now_ns() > end) {
            return deviates(error, "preempt: the destination doesn't read it");
        }
        if (!rest(p, LOOK_AGAIN_NS, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean wait_for_time(Replay *p, guint64 ns, GError **error)
{
    if (p->config->speed <= 0) {
        return TRUE;
    }
    gint64 due = p->began + (gint64)((double)(ns - MIN(ns, p->first_ns)) / p->config->speed);
    return rest(p, due - now_ns(), error);
}

static gboolean play_chunk(Replay *p, const MigChunk *chunk, GError **error)
{
    Line *l = p->lines->pdata[chunk->channel];
    if (l->generation < p->generation) {
        return TRUE; /* what came late over a line that had broken */
    }
    if (!wait_for_time(p, chunk->ns, error) || !open_for(p, l, error)) {
        return FALSE;
    }
    if (is_answers(l)) {
        return mig_expected_recorded(p->answers, chunk->data, chunk->n) ||
               deviates(error, "%s", mig_expected_error(p->answers));
    }
    /* The source had heard this before it went on. */
    if (!wait_until(p, all_said, "the return path", error) ||
        !wait_until(p, has_room, "sending", error) || !let_preempt_pass(p, l, error)) {
        return FALSE;
    }
    g_queue_push_tail(&l->parcels, g_bytes_new(chunk->data, chunk->n));
    p->queued += chunk->n;
    if (!write_line(p, l, error) || !pump(p, 0, error)) {
        return FALSE;
    }
    return p->complete || !is_main(l) || connect_others(p, error);
}

static gboolean next_chunk(Replay *p, MigChunk *chunk, GError **error)
{
    if (p->capture) {
        return mig_capture_chunk(p->capture, chunk, error);
    }
    *chunk = (MigChunk){ 0 };
    return mig_input_next(p->input, &chunk->data, &chunk->n, error) && chunk->n > 0;
}

/* Everything is written: the last answers, and the end of the line. */
static gboolean finish(Replay *p, GError **error)
{
    if (!p->answers) {
        return TRUE;
    }
    if (!wait_until(p, all_written, "sending", error) ||
        !wait_until(p, all_said, "the return path", error)) {
        return FALSE;
    }
    if (mig_expected_left(p->answers)) {
        return deviates(error, "the return path: %s was not recorded",
                        mig_expected_left(p->answers));
    }
    return end_generation(p, error);
}

static gboolean play(Replay *p, GError **error)
{
    GError *problem = NULL;
    MigChunk chunk;
    gboolean first = TRUE;
    p->began = now_ns();
    while (!p->interrupted && next_chunk(p, &chunk, &problem)) {
        p->first_ns = first ? chunk.ns : p->first_ns;
        first = FALSE;
        if (!play_chunk(p, &chunk, error)) {
            return FALSE;
        }
    }
    if (problem) {
        g_propagate_error(error, problem);
        return FALSE;
    }
    if (first && !p->interrupted) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: expected a recording or a stream, found not one byte of it",
                    p->config->path);
        return FALSE;
    }
    return p->interrupted || finish(p, error);
}

bool mig_replay(const MigReplayConfig *config, int wake, MigReplayCounts *counts, GError **error)
{
    Replay p = { .config = config, .counts = counts, .wake = wake };
    *counts = (MigReplayCounts){ 0 };
    p.lines = g_ptr_array_new_with_free_func(line_free);
    gboolean fine = list_lines(&p, error) && play(&p, error);
    g_ptr_array_unref(p.lines);
    mig_expected_free(p.answers);
    mig_capture_free(p.capture);
    mig_input_free(p.input);
    return fine;
}
