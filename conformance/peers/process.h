/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that run beside us: emulators, relays, our own ends. Each is the leader of a process
 * group of its own, says what it says into a log file, reads nothing, and dies when we do.
 */
#ifndef MIG_CONFORMANCE_PEERS_PROCESS_H
#define MIG_CONFORMANCE_PEERS_PROCESS_H

#include <glib.h>
#include <stdbool.h>

typedef struct MigChild {
    char *name; /* for messages: "source" */
    char *log;  /* path of what it says, both streams */
    GPid pid;   /* 0: has ended */
    int status; /* of waitpid(), when it has ended */
} MigChild;

/* NULL and *error. |log| is begun anew. */
MigChild *mig_child_spawn(const char *name, char **argv, const char *log, GError **error);
/* Kills its whole group where it still runs; NULL is fine. */
void mig_child_free(MigChild *child);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigChild, mig_child_free)

bool mig_child_ended(MigChild *child);
/* Waits up to |ms|; true when it has ended. */
bool mig_child_wait(MigChild *child, int ms);
/* SIGINT, if it still runs. */
void mig_child_interrupt(MigChild *child);
/* "exit status 1", "signal 6 (Aborted)", "still running"; owned by the caller. */
char *mig_child_end_text(MigChild *child);
/* Ended by a signal that we did not send. */
bool mig_child_crashed(MigChild *child);

/* How many sockets it has open; 0 where it has ended. */
unsigned mig_child_sockets(MigChild *child);

/* How much it has said so far, and what it said behind that; owned by the caller, never NULL. */
gsize mig_child_said(const MigChild *child);
char *mig_child_words(const MigChild *child, gsize from);

#endif
