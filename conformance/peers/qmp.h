/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of QMP: one connection to a program that listens at a unix socket, one command
 * at a time. What goes by is kept as a transcript of lines "-> ..." and "<- ...".
 */
#ifndef MIG_CONFORMANCE_PEERS_QMP_H
#define MIG_CONFORMANCE_PEERS_QMP_H

#include <glib.h>
#include <json-c/json.h>
#include <stdio.h>

#include "conformance/peers/process.h"

#define MIG_PEER_ERROR (g_quark_from_static_string("mig-peer-error"))
typedef enum MigPeerErrorCode {
    MIG_PEER_SAID_NO, /* an error was the answer; the message is what it says */
    MIG_PEER_GONE,    /* it has closed the connection, or ended */
    MIG_PEER_SILENT,  /* no answer within MIG_PEER_PATIENCE */
    MIG_PEER_ODD,     /* no QMP */
} MigPeerErrorCode;

#define MIG_PEER_PATIENCE 30000 /* ms until something silent counts as hanging */

typedef struct MigPeerQmp MigPeerQmp;

/*
 * A unix socket that |child| opens at |path|, sooner or later: waits for that, up to
 * MIG_PEER_PATIENCE or until it has ended. NULL and *error. Returns the descriptor, -1 on error.
 */
int mig_peer_connect(const char *path, MigChild *child, GError **error);

/* Connects and negotiates. |transcript| may be NULL and stays the caller's. */
MigPeerQmp *mig_peer_qmp_new(const char *path, MigChild *child, FILE *transcript, GError **error);
void mig_peer_qmp_free(MigPeerQmp *q); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigPeerQmp, mig_peer_qmp_free)

/* What it said first: {"version": ...}; stays the client's. */
json_object *mig_peer_qmp_greeting(MigPeerQmp *q);

/*
 * |arguments|, which may be NULL, is taken over. The answer, to be freed with json_object_put(), or
 * NULL and *error (MIG_PEER_ERROR). Events that come meanwhile go to the transcript only.
 */
json_object *mig_peer_qmp_execute(MigPeerQmp *q, const char *command, json_object *arguments,
                                  GError **error);
/* The same where only success matters. */
bool mig_peer_qmp_do(MigPeerQmp *q, const char *command, json_object *arguments, GError **error);

/* Values of answers: NULL and 0 where there is none or it has another type. */
json_object *mig_answer_at(json_object *o, const char *key);
const char *mig_answer_string(json_object *o, const char *key);
gint64 mig_answer_number(json_object *o, const char *key);

#endif
