/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict reading of JSON objects into structs, along a table of their keys. Whatever is not in the
 * table, has another type, or is out of range is an error that names its path
 * ("guest.ram[0].size").
 *
 *     static const MigField fields[] = {
 *         { "latency", mig_read_time, offsetof(MigLinkConfig, latency) },
 *         { NULL },
 *     };
 *     mig_read_object(&reader, value, fields, &link)
 */
#ifndef MIG_SIM_SCENARIO_JSON_READER_H
#define MIG_SIM_SCENARIO_JSON_READER_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MigReader {
    GString *path;      /* of the value being read */
    const char *file;   /* for messages */
    const char *folder; /* relative file names begin here */
    GError *error;      /* the first one; owned by who made the reader */
} MigReader;

#define MIG_READER_ERROR (g_quark_from_static_string("mig-reader-error"))

/* Reads |v| into |dst|; false with r->error. */
typedef bool MigReadFn(MigReader *r, json_object *v, void *dst);

typedef struct MigField {
    const char *key;
    MigReadFn *read;
    size_t offset; /* in the struct */
    bool required;
} MigField;

bool mig_read_object(MigReader *r, json_object *v, const MigField *fields, void *dst);

/* Calls |each| for every element; |dst| goes to it. */
bool mig_read_each(MigReader *r, json_object *v, MigReadFn *each, void *dst);

/* Sets the error "FILE: PATH: ..." and returns false. */
bool mig_read_fail(MigReader *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Goes into "key" or [index], and back to where it was (its return value). */
size_t mig_read_enter(MigReader *r, const char *key);
size_t mig_read_enter_index(MigReader *r, size_t index);
void mig_read_leave(MigReader *r, size_t mark);

/* "unknown key", with the nearest of |names| and all of them when they are few. */
bool mig_read_fail_unknown(MigReader *r, const char *what, const char *name,
                           const char *const *names);

MigReadFn mig_read_string; /* char *, owned; what stood there is freed */
MigReadFn mig_read_bool;   /* bool */
MigReadFn mig_read_u64;    /* uint64_t */
MigReadFn mig_read_u32;    /* uint32_t */
MigReadFn mig_read_size;   /* uint64_t; a number or a string with a unit */
MigReadFn mig_read_rate;   /* uint64_t, bit/s */
MigReadFn mig_read_time;   /* int64_t, ns */
/* uint64_t, bytes per second; a number or a string with a unit */
MigReadFn mig_read_bandwidth;
MigReadFn mig_read_ms;     /* uint64_t; a number of milliseconds or a string with a unit */
MigReadFn mig_read_ignore; /* anything */

/* The index of the string |v| in |names|. */
bool mig_read_choice(MigReader *r, json_object *v, const char *const *names, unsigned *index);

/*
 * Parses a file or text. Syntax errors say line and column. Free with json_object_put(). A key that
 * stands twice in one object is an error, too.
 */
json_object *mig_json_parse(const char *text, size_t n, const char *name, GError **error);
json_object *mig_json_load(const char *path, GError **error);

#endif
