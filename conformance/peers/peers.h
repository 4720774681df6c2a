/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real programs to migrate between. Nothing about what they can do is declared anywhere: each is
 * started once, without a guest, and asked over QMP.
 *
 *     PATH, the folder of ./run peers, --peer --> command --probe--> MigPeer --> peers, matrix
 *
 * A command takes QEMU's arguments, which are appended to it; or, where {qmp} is in it, it is a
 * template for any other program:
 *
 *     {qmp}      path of the unix socket to serve QMP at
 *     {role}     source or destination (a destination waits for migrate-incoming)
 *     {machine}  "none", "pc-i440fx-7.2"
 *     {size}     bytes of memory, in one block named "ram"
 *     {memory}   file to be mapped as that memory, shared; without it pmemsave is asked
 */
#ifndef MIG_CONFORMANCE_PEERS_PEERS_H
#define MIG_CONFORMANCE_PEERS_PEERS_H

#include <glib.h>
#include <json-c/json.h>

#include "conformance/peers/qmp.h"

/* A capability or a parameter's value that it knows. */
typedef struct MigPeerFeature {
    char *name;    /* "postcopy-ram", "multifd-compression=zstd" */
    char *refusal; /* what it says when a destination switches this alone on; NULL: it does */
} MigPeerFeature;

typedef struct MigPeer {
    char *name;    /* "qemu-7.2", or what the user called it; "migbench" */
    char *command; /* as it was given or found; NULL: our own `source` and `dest` */
    char **argv;   /* its words */
    bool is_template;

    char *error;             /* why it could not be asked; NULL: what follows is known */
    char *version, *package; /* "7.2.22"; what it says besides, may be "" */
    GPtrArray *machines;     /* char *: names, sorted; aliases too */
    GPtrArray *accelerators; /* char * */
    GPtrArray *transports;   /* char *: what migrate's channels take, empty before 8.2 */
    GPtrArray *features;     /* MigPeerFeature, sorted by name */
    json_object *parameters; /* as query-migrate-parameters answers; or NULL */
} MigPeer;

void mig_peer_free(MigPeer *peer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigPeer, mig_peer_free)

/* |text|: COMMAND or NAME=COMMAND. Not probed yet. NULL and *error where it isn't shell syntax. */
MigPeer *mig_peer_new(const char *text, GError **error);
/* Our own ends, which take over the version of whom they meet. */
MigPeer *mig_peer_own(void);

/* Adds to |peers| (MigPeer) those on PATH and those that ./run peers installed. */
void mig_peers_find(GPtrArray *peers);
/* Asks every peer, and names those without a name after their version; names become unique. */
void mig_peers_probe(GPtrArray *peers);
void mig_peer_probe(MigPeer *peer);

bool mig_peer_has(const GPtrArray *strings, const char *text);
/* NULL: it doesn't know that one. */
const MigPeerFeature *mig_peer_feature(const MigPeer *peer, const char *name);
/* "7.2" of "7.2.22"; owned by the caller. */
char *mig_peer_series(const MigPeer *peer);

/* |words| with {placeholders} replaced; ended by NULL, owned by the caller. */
typedef struct MigPeerPlace {
    const char *role, *machine, *memory, *qmp;
    guint64 size;
} MigPeerPlace;
char **mig_peer_fill(const MigPeer *peer, const MigPeerPlace *place);

/* For sockets and memory: below a folder that wrappers of ./run peers share. Owned by the caller,
 * who removes it with mig_remove_folder(). NULL and *error. */
char *mig_peer_folder(GError **error);
void mig_remove_folder(const char *path);

void mig_peers_text(GString *out, const GPtrArray *peers);
json_object *mig_peers_json(const GPtrArray *peers);

#endif
