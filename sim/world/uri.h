/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a migration goes or comes from, spelled as QEMU spells it:
 *
 *     tcp:HOST:PORT[,ipv4[=on|off]][,ipv6[=on|off]]    HOST may be empty (any), or [IPv6]
 *     unix:PATH        vsock:CID:PORT      fd:NUMBER
 *     exec:COMMAND     file:PATH[,offset=SIZE]          rdma:HOST:PORT
 *
 * Strict: what is left over is an error that names the byte. Parsing opens nothing.
 */
#ifndef MIG_SIM_WORLD_URI_H
#define MIG_SIM_WORLD_URI_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum MigUriKind {
    MIG_URI_TCP,
    MIG_URI_UNIX,
    MIG_URI_VSOCK,
    MIG_URI_FD,
    MIG_URI_EXEC,
    MIG_URI_FILE,
    MIG_URI_RDMA,
} MigUriKind;

typedef struct MigUri {
    MigUriKind kind;
    char *text;          /* as it was given, for messages */
    char *host;          /* tcp, rdma: "" is any; an IPv6 address without its brackets */
    char *port;          /* tcp, rdma: a number or the name of a service */
    bool ipv4, ipv6;     /* tcp: which families may be used; both unless options say otherwise */
    char *path;          /* unix, file; exec: the shell's command */
    char **args;         /* exec: the program and its arguments instead; NULL: the shell */
    bool numeric;        /* tcp: host and port are not to be looked up */
    bool keep_alive;     /* tcp: ask the peer now and then whether it is there */
    uint64_t offset;     /* file: bytes */
    uint32_t numbers[2]; /* vsock: CID (UINT32_MAX: any), port; fd: its number, 0 */
} MigUri;

#define MIG_URI_ERROR (g_quark_from_static_string("mig-uri-error"))

/* NULL and *error ("uri 'tcp:host': byte 8: expected ..., found ..."). */
MigUri *mig_uri_parse(const char *text, GError **error);
MigUri *mig_uri_copy(const MigUri *uri);
/* Whether one can connect to it several times, as multifd and preempt do. */
bool mig_uri_is_multi_channel(const MigUri *uri);
void mig_uri_free(MigUri *uri); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigUri, mig_uri_free)

#endif
