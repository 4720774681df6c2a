/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of transports: tcp, unix, vsock. A name may stand for several addresses: a source tries
 * each in turn and tells of the last failure; a destination listens on the first that lets it.
 *
 * Limits: looking up a name blocks and can't be interrupted.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sim/world/clock.h"
#include "sim/world/transport-internal.h"

#define BACKLOG 64 /* multifd opens its channels all at once */

typedef union Address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_vm vm;
    struct sockaddr_storage storage;
} Address;

static socklen_t fixed_address(const MigUri *uri, Address *a)
{
    memset(a, 0, sizeof(*a));
    if (uri->kind == MIG_URI_UNIX) {
        a->local.sun_family = AF_UNIX;
        g_strlcpy(a->local.sun_path, uri->path, sizeof(a->local.sun_path));
        return sizeof(a->local);
    }
    a->vm.svm_family = AF_VSOCK;
    a->vm.svm_cid = uri->numbers[0];
    a->vm.svm_port = uri->numbers[1];
    return sizeof(a->vm);
}

static struct addrinfo *look_up(const MigUri *uri, bool listening, GError **error)
{
    struct addrinfo *list = NULL, hints = {
        .ai_family = !uri->ipv6   ? AF_INET
                     : !uri->ipv4 ? AF_INET6
                                  : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags =
            (listening ? AI_PASSIVE : 0) | (uri->numeric ? AI_NUMERICHOST | AI_NUMERICSERV : 0),
    };
    int code = getaddrinfo(*uri->host ? uri->host : NULL, uri->port, &hints, &list);
    if (code) {
        g_set_error(error, MIG_TRANSPORT_ERROR, EADDRNOTAVAIL, "%s: cannot look up '%s': %s",
                    uri->text, uri->host,
                    code == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(code));
        return NULL;
    }
    return list;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

#define GRACE (100 * MIG_NS_PER_MS)

/* The errno of a connection attempt, 0 when it is there. */
static int finish_connect(MigTransport *t, int wake)
{
    int code = 0;
    socklen_t size = sizeof(code);
    for (unsigned ready = 0; !(ready & MIG_WAIT_WRITE);) {
        ready = mig_transport_wait(t, MIG_WAIT_WRITE | MIG_WAIT_WAKE, wake, -1);
        /* Who is waked comes again: an attempt that is nearly there must not be dropped for that,
         * for the other end would take it for a channel. */
        if (ready & MIG_WAIT_WAKE && !(ready & MIG_WAIT_WRITE) &&
            !((ready = mig_transport_wait(t, MIG_WAIT_WRITE, -1, GRACE)) & MIG_WAIT_WRITE)) {
            return EINTR;
        }
    }
    return getsockopt(t->out, SOL_SOCKET, SO_ERROR, &code, &size) < 0 ? errno : code;
}

/* A connected socket, or -1 with the errno in *code. */
static int connect_to(int family, const struct sockaddr *a, socklen_t n, int wake, int *code)
{
    int fd = new_socket(family);
    if (fd < 0) {
        *code = errno;
        return -1;
    }
    while ((*code = connect(fd, a, n) == 0 ? 0 : errno) == EAGAIN && family == AF_UNIX) {
        /* Its queue is full: it is there, but busy accepting. */
        if (mig_transport_wait(NULL, MIG_WAIT_WAKE, wake, MIG_NS_PER_MS)) {
            *code = EINTR;
            break;
        }
    }
    if (*code == EINPROGRESS) {
        MigTransport t = { .in = fd, .out = fd };
        *code = finish_connect(&t, wake);
    }
    if (*code) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_tcp(const MigUri *uri, int wake, GError **error)
{
    struct addrinfo *list = look_up(uri, false, error);
    int fd = -1, code = 0;
    for (struct addrinfo *a = list; a && fd < 0 && code != EINTR; a = a->ai_next) {
        fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen, wake, &code);
    }
    if (fd >= 0) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (uri->keep_alive) {
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        }
    } else if (list) {
        mig_transport_fail(error, uri->text, "cannot connect", code);
    }
    if (list) {
        freeaddrinfo(list);
    }
    return fd;
}

int mig_socket_connect(const MigUri *uri, int wake, GError **error)
{
    if (uri->kind == MIG_URI_TCP) {
        return connect_tcp(uri, wake, error);
    }
    Address a;
    int code = 0;
    socklen_t n = fixed_address(uri, &a);
    int fd = connect_to(a.any.sa_family, &a.any, n, wake, &code);
    if (fd < 0) {
        mig_transport_fail(error, uri->text, "cannot connect", code);
    }
    return fd;
}

/* Listening -------------------------------------------------------------------------------- */

static int listen_on(int family, const struct sockaddr *a, socklen_t n, int *code)
{
    int on = 1, fd = new_socket(family);
    if (fd < 0) {
        *code = errno;
        return -1;
    }
    if (family == AF_INET || family == AF_INET6) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        /* What it accepts has it, too: or a small request waits for the one before to be
         * acknowledged, which may take 40 ms. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (bind(fd, a, n) < 0 || listen(fd, BACKLOG) < 0) {
        *code = errno;
        close(fd);
        return -1;
    }
    return fd;
}

static int listen_tcp(const MigUri *uri, GError **error)
{
    struct addrinfo *list = look_up(uri, true, error);
    int fd = -1, code = 0;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = listen_on(a->ai_family, a->ai_addr, a->ai_addrlen, &code);
    }
    if (list) {
        freeaddrinfo(list);
        if (fd < 0) {
            mig_transport_fail(error, uri->text, "cannot listen", code);
        }
    }
    return fd;
}

int mig_socket_listen(const MigUri *uri, GError **error)
{
    if (uri->kind == MIG_URI_TCP) {
        return listen_tcp(uri, error);
    }
    Address a;
    int code = 0;
    struct stat st;
    socklen_t n = fixed_address(uri, &a);
    /* What an earlier listener left behind; anything but a socket stays and is an error. */
    if (uri->kind == MIG_URI_UNIX && lstat(uri->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(uri->path);
    }
    int fd = listen_on(a.any.sa_family, &a.any, n, &code);
    if (fd < 0) {
        mig_transport_fail(error, uri->text, "cannot listen", code);
    }
    return fd;
}

char *mig_socket_name(const MigUri *uri, int fd)
{
    Address a;
    socklen_t n = sizeof(a);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (uri->kind != MIG_URI_TCP || getsockname(fd, &a.any, &n) < 0 ||
        getnameinfo(&a.any, n, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return g_strdup(uri->text);
    }
    bool brackets = a.any.sa_family == AF_INET6;
    return g_strdup_printf("tcp:%s%s%s:%s", brackets ? "[" : "", host, brackets ? "]" : "", port);
}
