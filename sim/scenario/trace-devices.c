/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a recorded stream, see trace-devices.h. A destination that is a real machine takes
 * no others: its vCPU goes on where the recorded one stood.
 */
#include "sim/scenario/trace-devices.h"

#include <gio/gio.h>

#include "sim/world/stream-reader.h"

typedef struct Devices {
    MigScenario *scenario;
    bool full;      /* inside a FULL section */
    uint64_t bytes; /* of all so far */
} Devices;

static MigScenarioDevice *last(const Devices *d)
{
    GArray *list = d->scenario->devices;
    return &g_array_index(list, MigScenarioDevice, list->len - 1);
}

static void begin(Devices *d, const MigRecordSection *section)
{
    d->full = section->kind == MIG_ITEM_FULL;
    if (d->full) {
        MigScenarioDevice device = {
            .idstr = g_strndup(section->idstr.text, section->idstr.len),
            .instance = section->instance,
            .version = section->version,
            .section_id = section->id,
            .has_section_id = true,
        };
        g_array_append_val(d->scenario->devices, device);
    }
}

static bool take_body(Devices *d, uint64_t n, MigStreamReader *reader, GError **error)
{
    MigScenarioDevice *device = last(d);
    d->bytes += n;
    if (d->bytes > MIG_TRACE_DEVICES_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the devices have more than %u bytes", MIG_TRACE_DEVICES_MAX);
        return false;
    }
    uint8_t *body = g_malloc(n);
    g_ptr_array_add(d->scenario->lent, g_bytes_new_take(body, n));
    device->body = body;
    device->length = n;
    mig_stream_reader_payload_into(reader, body);
    return true;
}

static bool take(Devices *d, const MigRecord *record, MigStreamReader *reader, GError **error)
{
    if (record->type == MIG_REC_SECTION) {
        begin(d, &record->section);
    }
    return record->type != MIG_REC_BODY || !d->full || record->payload == 0 ||
           take_body(d, record->payload, reader, error);
}

static bool read_all(Devices *d, MigStreamReader *reader, GError **error)
{
    MigRecord record;
    MigStatus status;
    while ((status = mig_stream_reader_next(reader, &record, error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_RECORD && !take(d, &record, reader, error)) {
            return false;
        }
    }
    if (status == MIG_STATUS_BAD) {
        const MigDiagnosis *why = mig_stream_reader_diagnosis(reader);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s", why->offset, why->path,
                    why->expected, why->found);
    }
    return status == MIG_STATUS_END;
}

bool mig_trace_devices(const char *path, MigScenario *s, GError **error)
{
    Devices d = { .scenario = s };
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(path, NULL, error);
    bool fine = reader && read_all(&d, reader, error);
    if (!fine) {
        g_prefix_error(error, "%s: ", path);
    }
    return fine;
}
