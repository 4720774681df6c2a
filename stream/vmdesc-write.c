/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION's text: commas and spaces of two generations of JSON writers, and the frame of
 * the document. What stands in a device's object is written by vmstate.c.
 */
#include "stream/vmdesc-write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct MigVmdescWriter {
    MigVmdescStyle style;
    char *text;
    size_t n;
    size_t room;
    bool comma; /* a value stands in front of the next one */
    bool failed;
};

static const struct {
    unsigned major, minor; /* from this release on */
    MigVmdescStyle style;
} styles[] = {
    { 0, 0, { true, false, NULL, MIG_VMDESC_INDEX_ALL } },
    { 6, 0, { false, false, NULL, MIG_VMDESC_INDEX_ALL } },
    { 8, 2, { false, true, NULL, MIG_VMDESC_INDEX_ALL } },
    { 10, 0, { false, true, "nullptr", MIG_VMDESC_INDEX_BUT_LAST } },
    { 11, 0, { false, true, "ptr-marker", MIG_VMDESC_INDEX_NONE } },
};

MigVmdescStyle mig_vmdesc_style(unsigned major, unsigned minor)
{
    size_t row = sizeof(styles) / sizeof(styles[0]) - 1;

    while (row > 0 && (major < styles[row].major ||
                       (major == styles[row].major && minor < styles[row].minor))) {
        row--;
    }
    return styles[row].style;
}

MigVmdescWriter *mig_vmdesc_writer_new(const MigVmdescStyle *style)
{
    MigVmdescWriter *writer = calloc(1, sizeof(*writer));

    if (writer) {
        writer->style = *style;
    }
    return writer;
}

void mig_vmdesc_writer_free(MigVmdescWriter *writer)
{
    if (writer) {
        free(writer->text);
        free(writer);
    }
}

const MigVmdescStyle *mig_vmdesc_writer_style(const MigVmdescWriter *writer)
{
    return &writer->style;
}

static void put(MigVmdescWriter *w, const char *text, size_t n)
{
    if (!w->failed && w->room - w->n <= n) {
        size_t room = (w->n + n + 1) * 2;
        char *grown = realloc(w->text, room);

        w->failed = !grown;
        w->text = grown ? grown : w->text;
        w->room = grown ? room : w->room;
    }
    if (!w->failed) {
        memcpy(w->text + w->n, text, n);
        w->n += n;
        w->text[w->n] = 0;
    }
}

static void puts_to(MigVmdescWriter *w, const char *text)
{
    put(w, text, strlen(text));
}

/* A string with its quotes. Names are ASCII; of the rest only what would break the text. */
static void put_quoted(MigVmdescWriter *w, const char *text)
{
    char escaped[8];

    puts_to(w, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            put(w, "\\", 1);
        }
        if ((unsigned char)*text < 0x20) {
            snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)(unsigned char)*text);
            puts_to(w, escaped);
        } else {
            put(w, text, 1);
        }
    }
    puts_to(w, "\"");
}

static void before_value(MigVmdescWriter *w, const char *name)
{
    if (w->comma) {
        puts_to(w, ", ");
    }
    if (name) {
        put_quoted(w, name);
        puts_to(w, w->style.spaced ? " : " : ": ");
    }
    w->comma = true;
}

void mig_vmdesc_writer_begin(MigVmdescWriter *w, const char *name, char bracket)
{
    before_value(w, name);
    put(w, &bracket, 1);
    puts_to(w, w->style.spaced ? " " : "");
    w->comma = false;
}

void mig_vmdesc_writer_end(MigVmdescWriter *w, char bracket)
{
    puts_to(w, w->style.spaced ? " " : "");
    put(w, &bracket, 1);
    w->comma = true;
}

void mig_vmdesc_writer_string(MigVmdescWriter *w, const char *name, const char *value)
{
    before_value(w, name);
    put_quoted(w, value);
}

void mig_vmdesc_writer_integer(MigVmdescWriter *w, const char *name, int64_t value)
{
    char digits[24];

    before_value(w, name);
    snprintf(digits, sizeof(digits), "%" PRId64, value);
    puts_to(w, digits);
}

void mig_vmdesc_writer_begin_document(MigVmdescWriter *w)
{
    mig_vmdesc_writer_begin(w, NULL, '{');
}

void mig_vmdesc_writer_begin_devices(MigVmdescWriter *w, uint64_t page_size)
{
    mig_vmdesc_writer_integer(w, "page_size", (int64_t)page_size);
    mig_vmdesc_writer_begin(w, "devices", '[');
}

void mig_vmdesc_writer_begin_device(MigVmdescWriter *w, const char *name, uint32_t instance_id)
{
    mig_vmdesc_writer_begin(w, NULL, '{');
    mig_vmdesc_writer_string(w, "name", name);
    mig_vmdesc_writer_integer(w, "instance_id", instance_id);
}

void mig_vmdesc_writer_end_device(MigVmdescWriter *w)
{
    mig_vmdesc_writer_end(w, '}');
}

void mig_vmdesc_writer_opaque_device(MigVmdescWriter *w, const char *name, uint32_t instance_id,
                                     uint64_t size)
{
    mig_vmdesc_writer_begin_device(w, name, instance_id);
    mig_vmdesc_writer_integer(w, "size", (int64_t)size);
    mig_vmdesc_writer_begin(w, "fields", '[');
    mig_vmdesc_writer_begin(w, NULL, '{');
    mig_vmdesc_writer_string(w, "name", "data");
    mig_vmdesc_writer_integer(w, "size", (int64_t)size);
    mig_vmdesc_writer_string(w, "type", "buffer");
    mig_vmdesc_writer_end(w, '}');
    mig_vmdesc_writer_end(w, ']');
    mig_vmdesc_writer_end_device(w);
}

const char *mig_vmdesc_writer_finish(MigVmdescWriter *w, size_t *n)
{
    mig_vmdesc_writer_end(w, ']');
    mig_vmdesc_writer_end(w, '}');
    *n = w->n;
    return w->failed ? NULL : w->text;
}
