/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the transports: transport.c is the stream, transport-socket.c makes sockets. */
#ifndef MIG_SIM_WORLD_TRANSPORT_INTERNAL_H
#define MIG_SIM_WORLD_TRANSPORT_INTERNAL_H

#include <sys/types.h>

#include "sim/world/transport.h"

struct MigTransport {
    char *name;
    int in, out;  /* may be the same; -1: that half does not exist */
    int flags[2]; /* file status flags of in and out to be put back, -1: ours to keep */
    bool socket;  /* in == out is one */
    pid_t child;  /* its own process group; 0: none */
    bool shut;    /* shutdown was asked for */
};

/* Takes the descriptors over and makes them non-blocking. */
MigTransport *mig_transport_new(const char *name, int in, int out);

/* Sets *error to "URI: what: strerror(code)" and returns false. */
bool mig_transport_fail(GError **error, const char *uri, const char *what, int code);

/* A connected (bound and listening) socket, or -1 and *error. */
int mig_socket_connect(const MigUri *uri, int wake, GError **error);
int mig_socket_listen(const MigUri *uri, GError **error);
/* "tcp:127.0.0.1:49152" */
char *mig_socket_name(const MigUri *uri, int fd);

#endif
