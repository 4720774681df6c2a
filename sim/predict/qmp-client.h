/* SPDX-License-Identifier: Apache-2.0 */
/* A running QEMU, asked over QMP: one command at a time; events are passed over. */
#ifndef MIG_SIM_PREDICT_QMP_CLIENT_H
#define MIG_SIM_PREDICT_QMP_CLIENT_H

#include <glib.h>
#include <json-c/json.h>

typedef struct MigQmpClient MigQmpClient;

#define MIG_QMP_ERROR (g_quark_from_static_string("mig-qmp-error"))

typedef enum MigQmpError {
    MIG_QMP_ERROR_REFUSED, /* QEMU answered with an error */
    MIG_QMP_ERROR_PEER,    /* what answers is no QMP, or went away */
} MigQmpError;

/* "unix:PATH", "tcp:HOST:PORT" or a path. NULL and *error. */
MigQmpClient *mig_qmp_client_new(const char *address, GError **error);
void mig_qmp_client_free(MigQmpClient *c); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigQmpClient, mig_qmp_client_free)

/* Takes |arguments| (may be NULL) over. What "return" holds, json_object_put(); NULL and *error. */
json_object *mig_qmp_client_ask(MigQmpClient *c, const char *command, json_object *arguments,
                                GError **error);

/* The process at the other end of a unix socket; 0: not known. */
int mig_qmp_client_pid(const MigQmpClient *c);

#endif
