/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the monitor share, see monitor.h. */
#ifndef MIG_SIM_MONITOR_INTERNAL_H
#define MIG_SIM_MONITOR_INTERNAL_H

#include "sim/monitor/qmp.h"

#define MIG_MONITOR_TEXTS 8 /* parameters that are texts, at most */

typedef struct MigQmpId {
    json_object *value; /* NULL: null */
    bool given;
} MigQmpId;

/* What query-dirty-rate tells. */
typedef struct MigMonitorRate {
    enum { MIG_RATE_UNSTARTED, MIG_RATE_MEASURING, MIG_RATE_MEASURED } status;
    MigMonitorMeasure how;
    uint32_t samples;     /* per GiB, as shown */
    int64_t start, rate;  /* s; MiB/s */
    json_object *by_vcpu; /* or NULL */
} MigMonitorRate;

struct MigMonitor {
    MigMonitorTarget target;
    MigCapabilitySet capabilities;
    MigParameters parameters;
    char *texts[MIG_MONITOR_TEXTS];        /* of TEXT rows, in their order; NULL: never set */
    json_object *lists[MIG_MONITOR_TEXTS]; /* those that are lists */
    bool incoming_started;
    MigMonitorRate rate;
    GPtrArray *clients; /* MigQmp, borrowed */
    MigQmp *executing;  /* whose command is being executed; NULL: none */
    MigQmp *advancing;  /* whose x-advance is under way */
    MigQmpId advance_id;
    const char *event_behind; /* to be told behind the answer; NULL: none */
    bool deferred;            /* the command being executed answers later */
};

/* Arguments ---------------------------------------------------------------------------------- */

typedef enum MigArgumentType {
    MIG_ARGUMENT_STRING,
    MIG_ARGUMENT_BOOL,
    MIG_ARGUMENT_INT,    /* int64 */
    MIG_ARGUMENT_UINT,   /* uint64; a negative number is taken modulo 2^64, as QEMU does */
    MIG_ARGUMENT_NUMBER, /* int or double */
    MIG_ARGUMENT_CHOICE,
    MIG_ARGUMENT_ARRAY,
    MIG_ARGUMENT_STRING_OR_NULL,
} MigArgumentType;

typedef struct MigArgument {
    const char *name;
    MigArgumentType type;
    bool optional;
    MigVersion since, until;                   /* 0 until: for ever */
    bool (*accepts)(MigVersion, const char *); /* CHOICE */
} MigArgument;

/* One value against one row. |path| for the message. */
bool mig_argument_check(const MigArgument *a, MigVersion binary, json_object *v, const char *path,
                        GError **error);

/* A whole object (NULL: empty) against rows that end with a NULL name. */
bool mig_arguments_check(const MigArgument *rows, MigVersion binary, json_object *object,
                         GError **error);

/* Values of checked objects; the default when they are not there. */
const char *mig_argument_string(json_object *object, const char *name);
bool mig_argument_bool(json_object *object, const char *name, bool otherwise);
uint64_t mig_argument_uint(json_object *object, const char *name, uint64_t otherwise);

/* Commands ------------------------------------------------------------------------------------ */

typedef json_object *MigCommandFn(MigMonitor *m, json_object *arguments, GError **error);

typedef struct MigCommand {
    const char *name;
    MigCommandFn *run;
    const MigArgument *arguments; /* NULL: none; rows end with a NULL name */
    MigVersion since, until;      /* 0 until: for ever */
    bool free_form;               /* checks its arguments itself */
} MigCommand;

extern const MigCommand mig_monitor_commands[]; /* ended by a NULL name */
bool mig_monitor_has(const MigMonitor *m, const MigCommand *c);

MigCommandFn mig_command_query_capabilities, mig_command_query_parameters;
MigCommandFn mig_command_set_capabilities, mig_command_set_parameters;
MigCommandFn mig_command_set_speed, mig_command_set_downtime, mig_command_set_cache_size;
MigCommandFn mig_command_query_cache_size, mig_command_hmp;
MigCommandFn mig_command_calc_dirty_rate, mig_command_query_dirty_rate;
MigCommandFn mig_command_set_dirty_limit, mig_command_cancel_dirty_limit;
MigCommandFn mig_command_query_dirty_limit;
extern const MigArgument mig_set_dirty_limit_arguments[], mig_cancel_dirty_limit_arguments[];
extern const MigArgument mig_calc_dirty_rate_arguments[], mig_query_dirty_rate_arguments[];

/* Sets the one parameter from text, as HMP's migrate_set_parameter does. */
bool mig_settings_from_text(MigMonitor *m, const char *name, const char *text, GError **error);

/* Of mig_monitor_event(), also while the capability `events` is off. */
void mig_monitor_event_always(MigMonitor *m, const char *name, const char *status, uint64_t pass);

/* A MigrationAddress; g_free(). NULL and *error. */
char *mig_monitor_address_to_uri(json_object *address, GError **error);

/* The text that a parameter has: "tls-creds". */
const char *mig_settings_text(const MigMonitor *m, const char *name);

/* "xbzrle: on\r\n"...; "max-bandwidth: 134217728\r\n"... */
void mig_settings_print_capabilities(const MigMonitor *m, GString *out);
void mig_settings_print_parameters(MigMonitor *m, GString *out);
/* query-migrate, query-dirty-rate and query-vcpu-dirty-limit for people. */
void mig_info_migrate(MigMonitor *m, GString *out);
void mig_info_dirty_rate(MigMonitor *m, GString *out);
void mig_info_dirty_limit(MigMonitor *m, GString *out);

json_object *mig_monitor_empty(void); /* {} */
/* Sets GenericError and returns NULL. */
void *mig_monitor_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static inline MigVersion mig_monitor_binary(const MigMonitor *m)
{
    return m->target.era.binary;
}
bool mig_monitor_status_is(const MigMonitor *m, const char *const *names); /* ends with NULL */
bool mig_monitor_is_migrating(const MigMonitor *m); /* a second migrate would be refused */

/* Clients. */
void mig_qmp_send(MigQmp *q, json_object *message); /* takes |message|; queued if negotiated */
void mig_qmp_tell_event(MigQmp *q, const char *line);
void mig_qmp_answer_later(MigQmp *q, MigQmpId id, json_object *value); /* takes both */

#endif
