/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports, see transport.h: one or two non-blocking descriptors, and for exec the child behind
 * them, which is reaped when the transport is closed.
 *
 * Limits. A command's child that does not end when its input ends is waited for until a signal
 * comes (QEMU waits likewise); after a shutdown it has 2 s until it is killed.
 */
#include "sim/world/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/world/clock.h"
#include "sim/world/transport-internal.h"

#define KILL_AFTER_MS 2000

extern char **environ;

bool mig_transport_fail(GError **error, const char *uri, const char *what, int code)
{
    g_set_error(error, MIG_TRANSPORT_ERROR, code, "%s: %s: %s", uri, what, g_strerror(code));
    return false;
}

/* Returns the flags that stood there, or -1 where nothing had to change. */
static int make_nonblocking(int fd)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || flags & O_NONBLOCK) {
        return -1;
    }
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

MigTransport *mig_transport_new(const char *name, int in, int out)
{
    MigTransport *t = g_new0(MigTransport, 1);
    t->name = g_strdup(name);
    t->in = in;
    t->out = out;
    t->flags[0] = make_nonblocking(in);
    t->flags[1] = out == in ? -1 : make_nonblocking(out);
    t->socket = in >= 0 && in == out;
    return t;
}

/* exec ------------------------------------------------------------------------------------- */

typedef struct Pipes {
    int to[2], from[2]; /* read end, write end */
} Pipes;

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static bool make_pipes(Pipes *p, bool answers)
{
    *p = (Pipes){ { -1, -1 }, { -1, -1 } };
    if (pipe2(p->to, O_CLOEXEC) < 0) {
        return false;
    }
    if (!answers) {
        p->from[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
        return p->from[1] >= 0;
    }
    return pipe2(p->from, O_CLOEXEC) == 0;
}

/* In a process group of its own, so that what it starts ends with it. */
static int spawn(char *const *argv, const Pipes *p, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults, none;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, p->to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, p->from[1], 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    int code = posix_spawnp(child, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static MigTransport *open_exec(const MigUri *uri, bool answers, GError **error)
{
    Pipes p;
    pid_t child = 0;
    char *shell[] = { (char *)"/bin/sh", (char *)"-c", uri->path, NULL };
    int code = make_pipes(&p, answers) ? spawn(uri->args ? uri->args : shell, &p, &child) : errno;
    close_fd(&p.to[0]);
    close_fd(&p.from[1]);
    if (code) {
        close_fd(&p.to[1]);
        close_fd(&p.from[0]);
        mig_transport_fail(error, uri->text, "cannot start the command", code);
        return NULL;
    }
    MigTransport *t = mig_transport_new(uri->text, p.from[0], p.to[1]);
    t->child = child;
    return t;
}

/* fd and file ------------------------------------------------------------------------------ */

static MigTransport *open_fd(const MigUri *uri, bool writing, GError **error)
{
    int fd = (int)uri->numbers[0];
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st) < 0) {
        mig_transport_fail(error, uri->text, "no such descriptor was handed to this program",
                           errno);
        return NULL;
    }
    int mode = flags & O_ACCMODE;
    if (mode != O_RDWR && mode != (writing ? O_WRONLY : O_RDONLY)) {
        g_set_error(error, MIG_TRANSPORT_ERROR, EBADF, "%s: the descriptor is not open for %s",
                    uri->text, writing ? "writing" : "reading");
        return NULL;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (S_ISSOCK(st.st_mode)) {
        return mig_transport_new(uri->text, fd, fd);
    }
    return mig_transport_new(uri->text, writing ? -1 : fd, writing ? fd : -1);
}

/* As QEMU: what the file holds in front of the offset stays, what is behind it goes. */
static MigTransport *open_file(const MigUri *uri, bool writing, GError **error)
{
    int flags = writing ? O_WRONLY | O_CREAT : O_RDONLY;
    int fd = open(uri->path, flags | O_CLOEXEC, 0600);
    off_t offset = (off_t)uri->offset;
    if (fd < 0 || (writing && ftruncate(fd, offset) < 0) || lseek(fd, offset, SEEK_SET) < 0) {
        mig_transport_fail(error, uri->text, fd < 0 ? "cannot open it" : "cannot go to the offset",
                           errno);
        close_fd(&fd);
        return NULL;
    }
    return mig_transport_new(uri->text, writing ? -1 : fd, writing ? fd : -1);
}

MigTransport *mig_transport_again(const MigUri *uri, bool direct, GError **error)
{
    int flags = O_WRONLY | O_CLOEXEC | (direct ? O_DIRECT : 0);
    int fd = uri->kind == MIG_URI_FILE ? open(uri->path, flags)
                                       : fcntl((int)uri->numbers[0], F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        mig_transport_fail(error, uri->text,
                           direct ? "cannot open it again for direct-io (not every file system has "
                                    "that; switch it off)"
                                  : "cannot open it again",
                           errno);
        return NULL;
    }
    return mig_transport_new(uri->text, -1, fd);
}

/* Opens what is no connection; NULL without *error where it is one. */
static MigTransport *open_plain(const MigUri *uri, bool writing, bool answers, GError **error)
{
    switch (uri->kind) {
    case MIG_URI_EXEC:
        return open_exec(uri, answers, error);
    case MIG_URI_FD:
        return open_fd(uri, writing, error);
    case MIG_URI_FILE:
        return open_file(uri, writing, error);
    default:
        return NULL;
    }
}

static bool is_socket(const MigUri *uri)
{
    return uri->kind == MIG_URI_TCP || uri->kind == MIG_URI_UNIX || uri->kind == MIG_URI_VSOCK;
}

static bool refuse_rdma(const MigUri *uri, GError **error)
{
    if (uri->kind == MIG_URI_RDMA) {
        g_set_error(error, MIG_TRANSPORT_ERROR, EOPNOTSUPP,
                    "%s: RDMA is not spoken here; use tcp:%s:%s", uri->text, uri->host, uri->port);
        return true;
    }
    return false;
}

MigTransport *mig_transport_connect(const MigUri *uri, bool answers, int wake, GError **error)
{
    if (refuse_rdma(uri, error)) {
        return NULL;
    }
    if (!is_socket(uri)) {
        return open_plain(uri, true, answers, error);
    }
    int fd = mig_socket_connect(uri, wake, error);
    return fd < 0 ? NULL : mig_transport_new(uri->text, fd, fd);
}

/* Listening -------------------------------------------------------------------------------- */

struct MigListener {
    MigUri *uri;
    char *address, *unlink; /* the latter: a unix socket of ours */
    int fd;                 /* -1: nothing to accept */
};

MigListener *mig_listener_new(const MigUri *uri, GError **error)
{
    if (refuse_rdma(uri, error)) {
        return NULL;
    }
    MigListener *l = g_new0(MigListener, 1);
    l->fd = -1;
    l->uri = mig_uri_copy(uri);
    if (is_socket(uri)) {
        l->fd = mig_socket_listen(uri, error);
        if (l->fd < 0) {
            mig_listener_free(l);
            return NULL;
        }
        l->unlink = uri->kind == MIG_URI_UNIX ? g_strdup(uri->path) : NULL;
    }
    l->address = l->fd >= 0 ? mig_socket_name(uri, l->fd) : g_strdup(uri->text);
    return l;
}

MigTransport *mig_listener_accept(MigListener *l, int wake, GError **error)
{
    if (l->fd < 0) {
        return open_plain(l->uri, false, true, error);
    }
    for (;;) {
        struct pollfd p[2] = { { .fd = l->fd, .events = POLLIN },
                               { .fd = wake, .events = POLLIN } };
        int n = poll(p, 2, -1);
        if (n > 0 && p[1].revents) {
            g_set_error(error, MIG_TRANSPORT_ERROR, EINTR, "%s: interrupted before anybody came",
                        l->address);
            return NULL;
        }
        int fd = n > 0 ? accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
        if (fd >= 0) {
            return mig_transport_new(l->uri->text, fd, fd);
        }
        if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
            mig_transport_fail(error, l->address, "cannot accept a connection", errno);
            return NULL;
        }
    }
}

const char *mig_listener_address(const MigListener *l)
{
    return l->address;
}

int mig_listener_fd(const MigListener *l)
{
    return l->fd;
}

uint64_t mig_listener_offset(const MigListener *l)
{
    return l->uri->offset;
}

void mig_listener_free(MigListener *l)
{
    if (l) {
        close_fd(&l->fd);
        if (l->unlink) {
            unlink(l->unlink);
        }
        mig_uri_free(l->uri);
        g_free(l->address);
        g_free(l->unlink);
        g_free(l);
    }
}

/* The stream ------------------------------------------------------------------------------- */

static int64_t io_result(const MigTransport *t, ssize_t n, const char *what, GError **error)
{
    if (n >= 0) {
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return MIG_IO_AGAIN;
    }
    mig_transport_fail(error, t->name, what, errno);
    return MIG_IO_ERROR;
}

int64_t mig_transport_write(MigTransport *t, const struct iovec *iov, int count, GError **error)
{
    if (t->out < 0) {
        errno = EBADF;
    }
    return io_result(t, t->out < 0 ? -1 : writev(t->out, iov, count), "cannot write", error);
}

int64_t mig_transport_read(MigTransport *t, const struct iovec *iov, int count, GError **error)
{
    return io_result(t, t->in < 0 ? 0 : readv(t->in, iov, count), "cannot read", error);
}

int64_t mig_transport_peek(MigTransport *t, void *data, size_t n, GError **error)
{
    return io_result(t, recv(t->in, data, n, MSG_PEEK), "cannot look at what comes", error);
}

int mig_transport_file(const MigTransport *t)
{
    struct stat st;
    int fd = t->out >= 0 ? t->out : t->in;
    return fd >= 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) ? fd : -1;
}

bool mig_transport_seek(MigTransport *t, uint64_t at, GError **error)
{
    return lseek(t->out, (off_t)at, SEEK_SET) >= 0 ||
           mig_transport_fail(error, t->name, "cannot go to a place in it", errno);
}

bool mig_transport_place(MigTransport *t, uint64_t at, struct iovec *iov, int count, GError **error)
{
    while (count > 0) {
        ssize_t n = pwritev(t->out, iov, MIN(count, MIG_TRANSPORT_VECTORS), (off_t)at);
        if (n < 0 && errno != EINTR) {
            return mig_transport_fail(error, t->name, "cannot write", errno);
        }
        size_t left = n > 0 ? (size_t)n : 0;
        at += left;
        for (; count > 0 && left >= iov->iov_len; count--) {
            left -= iov++->iov_len;
        }
        if (left > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return true;
}

bool mig_transport_has_return(const MigTransport *t)
{
    return t->in >= 0 && t->out >= 0;
}

unsigned mig_transport_wait(MigTransport *t, unsigned what, int wake, int64_t timeout)
{
    struct pollfd p[] = {
        { .fd = t && what & MIG_WAIT_READ ? t->in : -1, .events = POLLIN },
        { .fd = t && what & MIG_WAIT_WRITE ? t->out : -1, .events = POLLOUT },
        { .fd = what & MIG_WAIT_WAKE ? wake : -1, .events = POLLIN },
    };
    struct timespec span = { timeout / MIG_NS_PER_S, timeout % MIG_NS_PER_S };
    int n = ppoll(p, 3, timeout < 0 ? NULL : &span, NULL);
    unsigned ready = 0;
    for (unsigned i = 0; n > 0 && i < 3; i++) {
        ready |= p[i].revents ? 1u << i : 0;
    }
    return ready;
}

int mig_transport_fd(const MigTransport *t, unsigned what)
{
    return what == MIG_WAIT_READ ? t->in : t->out;
}

void mig_transport_end(MigTransport *t)
{
    if (t->socket) {
        shutdown(t->out, SHUT_WR);
    } else {
        close_fd(&t->out);
    }
}

void mig_transport_set_send_buffer(MigTransport *t, uint64_t bytes)
{
    int half = (int)(MIN(bytes, 1u << 30) / 2); /* the kernel doubles it, for its own part of it */
    if (t->socket) {
        setsockopt(t->out, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)); /* a wish */
    }
}

void mig_transport_shutdown(MigTransport *t)
{
    t->shut = true;
    if (t->socket) {
        shutdown(t->in, SHUT_RDWR);
    } else if (t->child > 0) {
        kill(-t->child, SIGTERM);
    }
}

static int reap(MigTransport *t)
{
    int status = 0;
    for (int ms = 0;; ms += 10) {
        pid_t pid = waitpid(t->child, &status, t->shut ? WNOHANG : 0);
        if (pid == t->child || (pid < 0 && errno != EINTR)) {
            return pid < 0 ? 0 : status;
        }
        if (pid < 0) { /* a signal: the user is out of patience */
            mig_transport_shutdown(t);
        } else if (ms >= KILL_AFTER_MS) {
            kill(-t->child, SIGKILL);
            t->shut = false;
        } else {
            g_usleep(10000);
        }
    }
}

static void close_half(int *fd, int flags)
{
    if (*fd >= 0 && flags >= 0) {
        fcntl(*fd, F_SETFL, flags);
    }
    close_fd(fd);
}

bool mig_transport_close(MigTransport *t, GError **error)
{
    bool shut = t->shut, fine = true;
    if (t->in == t->out) {
        t->out = -1;
    }
    close_half(&t->in, t->flags[0]);
    close_half(&t->out, t->flags[1]);
    int status = t->child > 0 ? reap(t) : 0;
    if (status != 0 && !(shut && WIFSIGNALED(status))) {
        fine = false;
        g_set_error(error, MIG_TRANSPORT_ERROR, ECHILD, "%s: the command %s %d", t->name,
                    WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    g_free(t->name);
    g_free(t);
    return fine;
}

const char *mig_transport_name(const MigTransport *t)
{
    return t->name;
}
