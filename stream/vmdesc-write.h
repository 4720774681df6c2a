/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a VMDESCRIPTION: the text, byte for byte as the QEMU of an era writes it.
 *
 *     up to 5.2                                   6.0 and later
 *     { "page_size" : 4096, "devices" : [ ] }     {"page_size": 4096, "devices": []}
 *
 * A document is: new, [configuration], begin devices, devices in the order of their sections, text.
 * Mirrors migration/qjson.c (to 5.2) and qobject/json-writer.c (from 6.0) of QEMU.
 */
#ifndef MIG_STREAM_VMDESC_WRITE_H
#define MIG_STREAM_VMDESC_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which elements of an array that is not described at once carry their "index". */
typedef enum MigVmdescIndex {
    MIG_VMDESC_INDEX_ALL,      /* 7.2 and before */
    MIG_VMDESC_INDEX_BUT_LAST, /* 10.0 */
    MIG_VMDESC_INDEX_NONE,     /* 11.1 */
} MigVmdescIndex;

typedef struct MigVmdescStyle {
    bool spaced;        /* "key" : value, and spaces inside brackets */
    bool configuration; /* the top object has the configuration's description */
    const char *marker; /* type of the fields as which NULL pointers of an array are described, in
                           runs of their own; NULL: described like the others */
    MigVmdescIndex index;
} MigVmdescStyle;

/* The style of a QEMU release (the binary's, not the machine type's). Seen: 5.2, 7.2, 10.0, 11.1;
   other releases get the style of the rows between which they lie. */
MigVmdescStyle mig_vmdesc_style(unsigned major, unsigned minor);

typedef struct MigVmdescWriter MigVmdescWriter;

/* NULL if memory is short. Free with mig_vmdesc_writer_free(); NULL is fine there. */
MigVmdescWriter *mig_vmdesc_writer_new(const MigVmdescStyle *style);
void mig_vmdesc_writer_free(MigVmdescWriter *writer);
const MigVmdescStyle *mig_vmdesc_writer_style(const MigVmdescWriter *writer);

/*
 * JSON, a step at a time; name is the key, NULL in arrays and for the top object. Nothing is
 * checked but memory: a writer that ran out of it stays failed and its text is NULL.
 */
void mig_vmdesc_writer_begin(MigVmdescWriter *writer, const char *name, char bracket); /* { or [ */
void mig_vmdesc_writer_end(MigVmdescWriter *writer, char bracket);                     /* } or ] */
void mig_vmdesc_writer_string(MigVmdescWriter *writer, const char *name, const char *value);
void mig_vmdesc_writer_integer(MigVmdescWriter *writer, const char *name, int64_t value);

/* The steps of a document. The configuration goes between new and begin_devices, in an object of
   that name: mig_vmdesc_writer_begin(w, "configuration", '{'), mig_vmstate_save(), ..._end(). */
void mig_vmdesc_writer_begin_document(MigVmdescWriter *writer);
void mig_vmdesc_writer_begin_devices(MigVmdescWriter *writer, uint64_t page_size);

/* Opens a device's object; mig_vmstate_save() writes what is in it; end_device closes it. */
void mig_vmdesc_writer_begin_device(MigVmdescWriter *writer, const char *name,
                                    uint32_t instance_id);
void mig_vmdesc_writer_end_device(MigVmdescWriter *writer);

/* A whole device that QEMU has no description of ("slirp"): size bytes of "data". */
void mig_vmdesc_writer_opaque_device(MigVmdescWriter *writer, const char *name,
                                     uint32_t instance_id, uint64_t size);

/* Closes the document. The text has *n bytes and a NUL behind them; it is the writer's. NULL if
   memory was short on the way. */
const char *mig_vmdesc_writer_finish(MigVmdescWriter *writer, size_t *n);

#endif
