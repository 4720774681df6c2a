/* SPDX-License-Identifier: Apache-2.0 */
/* A stream in memory as a list of records that can be encoded again. */
#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance/mutate/mutate.h"
#include "stream/encoder.h"

/* ---- bytes in memory ---- */

static bool write_all(int fd, const uint8_t *data, gsize n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        data += MAX(done, 0);
        n -= (gsize)MAX(done, 0);
    }
    return true;
}

MigStreamReader *mig_mutate_reader(const void *data, gsize n, GError **error)
{
    int fd = memfd_create("mutant", MFD_CLOEXEC);

    if (fd < 0 || !write_all(fd, data, n)) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "a file in memory of %zu bytes: %s", n, g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    MigInput *in = mig_input_file_new(fd, "mutant", n, error);
    return in ? mig_stream_reader_new(in, NULL) : NULL;
}

MigCheck *mig_mutate_judge(const void *data, gsize n, MigProfile profile, GError **error)
{
    g_autoptr(MigStreamReader) reader = mig_mutate_reader(data, n, error);
    g_autoptr(MigCheck) check = mig_check_new(profile);

    return reader && mig_check_run(check, reader, error) ? g_steal_pointer(&check) : NULL;
}

bool mig_mutate_found(const MigCheck *check, const char *rule)
{
    for (unsigned i = 0; i < check->result_count; i++) {
        if (strcmp(check->results[i].rule->id, rule) == 0) {
            return check->results[i].findings > 0;
        }
    }
    return false;
}

/* ---- records ---- */

static MigStr keep(MigMutateSource *s, MigStr old)
{
    return (MigStr){
        g_string_chunk_insert_len(s->strings, old.text ? old.text : "", (gssize)old.len), old.len
    };
}

static const void *keep_bytes(MigMutateSource *s, const void *data, gsize n)
{
    return g_string_chunk_insert_len(s->strings, data, (gssize)n);
}

static void keep_command(MigMutateSource *s, MigRecordCommand *c)
{
    if (c->number == MIG_CMD_POSTCOPY_RAM_DISCARD) {
        c->discard.name = keep(s, c->discard.name);
        /* The chunk gives no alignment: ranges get memory of their own, freed with the source. */
        gsize n = c->discard.count * sizeof(MigRange);
        c->discard.ranges = n ? g_memdup2(c->discard.ranges, n) : NULL;
    } else if (c->number == MIG_CMD_RECV_BITMAP) {
        c->bitmap_name = keep(s, c->bitmap_name);
    }
}

/* What lasts only until the next record. Names of sections and blocks last with the reader. */
static void keep_strings(MigMutateSource *s, MigRecord *r)
{
    if (r->type == MIG_REC_CONFIG) {
        r->config.machine = keep(s, r->config.machine);
    } else if (r->type == MIG_REC_CONFIG_CAPABILITIES) {
        MigStr *names = g_new(MigStr, r->capabilities.count);
        for (uint32_t i = 0; i < r->capabilities.count; i++) {
            names[i] = keep(s, r->capabilities.names[i]);
        }
        r->capabilities.names = names;
    } else if (r->type == MIG_REC_COMMAND) {
        keep_command(s, &r->command);
    } else if (r->type == MIG_REC_BLOCK) {
        r->disk.device = keep(s, r->disk.device);
    } else if (r->type == MIG_REC_DIRTY_BITMAP) {
        r->bitmap.node = keep(s, r->bitmap.node);
        r->bitmap.bitmap = keep(s, r->bitmap.bitmap);
    }
}

static void site_clear(gpointer data)
{
    MigSite *site = data;
    g_free(site->path);
    if (site->r.type == MIG_REC_CONFIG_CAPABILITIES) {
        g_free((void *)site->r.capabilities.names);
    } else if (site->r.type == MIG_REC_COMMAND &&
               site->r.command.number == MIG_CMD_POSTCOPY_RAM_DISCARD) {
        g_free((void *)site->r.command.discard.ranges);
    }
}

static void count_page(MigMutateSource *s, const MigRecord *r)
{
    if (r->type < MIG_REC_RAM_ZERO || r->type > MIG_REC_RAM_COMPRESS) {
        return;
    }
    char *key = g_strdup_printf("%u:%" G_GUINT64_FORMAT, r->ram.block, r->ram.offset);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(s->sent, key));
    g_hash_table_replace(s->sent, key, GUINT_TO_POINTER(n + 1));
}

static void add_site(MigMutateSource *s, const MigRecord *r, MigSite *in)
{
    MigSite site = { .r = *r };
    char path[MIG_DIAGNOSIS_TEXT];

    mig_decoder_path(mig_stream_reader_decoder(s->reader), path, sizeof(path));
    keep_strings(s, &site.r);
    if (r->type == MIG_REC_SECTION) {
        in->section = s->sites->len;
        in->idstr = keep_bytes(s, r->section.idstr.text, r->section.idstr.len);
        in->kind = r->section.kind;
    } else if (r->type == MIG_REC_COMMAND || r->type == MIG_REC_END_OF_STREAM ||
               r->type == MIG_REC_VMDESC) {
        *in = (MigSite){ .section = G_MAXUINT, .idstr = "" };
    }
    site.section = in->section;
    site.idstr = in->idstr;
    site.kind = in->kind;
    site.path = g_strdup(path);
    g_array_append_val(s->sites, site);
    count_page(s, r);
    if (r->type == MIG_REC_FOOTER) {
        *in = (MigSite){ .section = G_MAXUINT, .idstr = "" };
    }
}

static bool read_sites(MigMutateSource *s, GError **error)
{
    MigSite in = { .section = G_MAXUINT, .idstr = "" };
    MigStatus status;
    MigRecord r;

    while ((status = mig_stream_reader_next(s->reader, &r, error)) == MIG_STATUS_RECORD) {
        add_site(s, &r, &in);
    }
    if (status == MIG_STATUS_BAD) {
        const MigDiagnosis *d = mig_stream_reader_diagnosis(s->reader);
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "only a stream that can be read to its end can be mutated: offset %" G_GUINT64_FORMAT
            ", %s: %s",
            d->offset, d->path, mig_fault_text(d->fault));
    }
    return status == MIG_STATUS_END;
}

MigMutateSource *mig_mutate_source_new(const void *data, gsize n, GError **error)
{
    g_autoptr(MigMutateSource) s = g_new0(MigMutateSource, 1);

    s->sites = g_array_new(FALSE, TRUE, sizeof(MigSite));
    g_array_set_clear_func(s->sites, site_clear);
    s->sent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    s->strings = g_string_chunk_new(4096);
    s->bytes = g_byte_array_new();
    g_byte_array_append(s->bytes, data, (guint)n);
    s->reader = mig_mutate_reader(data, n, error);
    if (!s->reader || !read_sites(s, error)) {
        return NULL;
    }
    const MigDecoder *decoder = mig_stream_reader_decoder(s->reader);
    s->footers = mig_decoder_footers(decoder);
    s->page_size = mig_decoder_page_size(decoder);
    MigStr machine = mig_decoder_machine(decoder);
    g_autofree char *name = g_strndup(machine.text ? machine.text : "", machine.len);
    s->machine = mig_machine_version(name);
    return g_steal_pointer(&s);
}

MigMutateSource *mig_mutate_source_open(const char *path, GError **error)
{
    g_autoptr(MigInput) in = mig_input_open(path, error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const uint8_t *data;
    size_t n;

    if (!in) {
        return NULL;
    }
    while (mig_input_next(in, &data, &n, error)) {
        if (n == 0) {
            return mig_mutate_source_new(bytes->data, bytes->len, error);
        }
        if (bytes->len + n > MIG_MUTATE_LIMIT) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                        "%s: more than %u bytes: mutate a smaller stream", path, MIG_MUTATE_LIMIT);
            return NULL;
        }
        g_byte_array_append(bytes, data, (guint)n);
    }
    return NULL;
}

void mig_mutate_source_free(MigMutateSource *s)
{
    if (s) {
        g_array_unref(s->sites);
        g_hash_table_unref(s->sent);
        g_byte_array_unref(s->bytes);
        g_clear_pointer(&s->reader, mig_stream_reader_free);
        g_string_chunk_free(s->strings);
        g_free(s);
    }
}
