/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One channel of a migration: a byte stream with, where the transport has one, a half for answers
 * (the return path). Everything here is non-blocking but mig_transport_wait(): who owns a transport
 * decides what else it waits for.
 *
 *     tcp unix vsock   both halves are the socket
 *     exec             the halves are the command's standard input and output
 *     fd               a socket has both; a pipe or file has one
 *     file             one half
 *     rdma             refused
 *
 * Whoever uses it has SIGPIPE ignored. All descriptors are close-on-exec.
 */
#ifndef MIG_SIM_WORLD_TRANSPORT_H
#define MIG_SIM_WORLD_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sim/world/uri.h"

typedef struct MigTransport MigTransport;
typedef struct MigListener MigListener;

/*
 * Opens the source's end. |answers|: somebody will read the return half (an exec command whose
 * answers nobody reads gets /dev/null for its output). |wake|: a descriptor whose readability ends
 * the waiting, -1: none. A host with several addresses: each is tried in turn.
 * NULL and *error, which names the URI.
 */
MigTransport *mig_transport_connect(const MigUri *uri, bool answers, int wake, GError **error);

/*
 * mapped-ram: another descriptor for the file that was opened for |uri|, as it is. |direct|: past
 * the page cache (parameter direct-io). NULL and *error.
 */
MigTransport *mig_transport_again(const MigUri *uri, bool direct, GError **error);

/* A file whose bytes have places: its descriptor, -1 for everything else. */
int mig_transport_file(const MigTransport *t);
/* Where the next byte goes. */
bool mig_transport_seek(MigTransport *t, uint64_t at, GError **error);
/* Writes all of |iov| at |at|; uses it up. The position stays. */
bool mig_transport_place(MigTransport *t, uint64_t at, struct iovec *iov, int count,
                         GError **error);

/*
 * The destination's end: bound at once, so that a source may connect. accept() waits for one
 * connection; transports without connections (exec, fd, file) are opened by it. NULL and *error:
 * also when |wake| became readable.
 */
MigListener *mig_listener_new(const MigUri *uri, GError **error);
MigTransport *mig_listener_accept(MigListener *l, int wake, GError **error);
/* "tcp:127.0.0.1:49152": where it really listens (port 0 takes any). Lasts as long as |l|. */
const char *mig_listener_address(const MigListener *l);
/* Readable when a connection is there; -1: what it listens on has none. */
int mig_listener_fd(const MigListener *l);
/* file: where the stream begins; else 0. */
uint64_t mig_listener_offset(const MigListener *l);
void mig_listener_free(MigListener *l); /* NULL is fine; removes the unix socket that it made */

#define MIG_TRANSPORT_ERROR (g_quark_from_static_string("mig-transport-error"))

typedef enum MigIo {
    MIG_IO_AGAIN = -1, /* not now: wait */
    MIG_IO_ERROR = -2, /* *error says why */
} MigIo;

/* Vectors that one call takes. */
#define MIG_TRANSPORT_VECTORS 1024

/* Bytes written or read (reading: 0 is the end of the stream), or a MigIo. */
int64_t mig_transport_write(MigTransport *t, const struct iovec *iov, int count, GError **error);
int64_t mig_transport_read(MigTransport *t, const struct iovec *iov, int count, GError **error);

/* What a socket will be read next, at most |n| bytes, which stay there; otherwise as reading. */
int64_t mig_transport_peek(MigTransport *t, void *data, size_t n, GError **error);

/*
 * The answers' half: a source reads from it, a destination writes to it. Where there is none
 * writing is an error and reading the end.
 */
bool mig_transport_has_return(const MigTransport *t);

enum {
    MIG_WAIT_READ = 1,  /* the half that this end reads from */
    MIG_WAIT_WRITE = 2, /* the half that this end writes to */
    MIG_WAIT_WAKE = 4,  /* `wake` became readable */
};

/*
 * Waits until one of |what| is possible (an error or hang-up counts), or |timeout| ns have passed
 * (negative: for ever). Returns those of |what| that are, 0 after the timeout. |t| may be NULL.
 */
unsigned mig_transport_wait(MigTransport *t, unsigned what, int wake, int64_t timeout);

/* What to poll for one of |what| (READ or WRITE): a descriptor that stays the transport's, or -1.
 */
int mig_transport_fd(const MigTransport *t, unsigned what);

/* Nothing more will be written: the other end sees the end of the stream, answers may still come.
 */
void mig_transport_end(MigTransport *t);

/* Of a socket: what it holds of what was written, bytes (the kernel rounds); else nothing. */
void mig_transport_set_send_buffer(MigTransport *t, uint64_t bytes);

/* Cancel: both ends see the end at once. A command gets SIGTERM, a file nothing. */
void mig_transport_shutdown(MigTransport *t);

/*
 * Closes and frees. For a command: waits until it has ended; false and *error when it ended badly
 * (a signal after a shutdown is what was asked for).
 */
bool mig_transport_close(MigTransport *t, GError **error);

/* What it is, for messages: the URI. */
const char *mig_transport_name(const MigTransport *t);

#endif
