/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/extract-mapped.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>

#include "conformance/image.h"

#define CHUNK (1u << 20)

static bool is_set(const MigMappedImage *m, uint64_t page)
{
    return page / 8 < m->bitmap->len && m->bitmap->data[page / 8] >> page % 8 & 1;
}

/* The first page from |page| on whose bit is |set|, at most |end|. */
static uint64_t next_page(const MigMappedImage *m, uint64_t page, uint64_t end, bool set)
{
    while (page < end && is_set(m, page) != set) {
        page++;
    }
    return page;
}

/* A file, or a file at an offset: what peek() reads there costs no more than its bytes. */
static bool can_seek(const MigInput *in)
{
    while (in->inner && strcmp(in->ops->name, "offset") == 0) {
        in = in->inner;
    }
    return strcmp(in->ops->name, "file") == 0;
}

static bool copy_run(MigMappedImage *m, MigRecording *recording, unsigned channel,
                     uint64_t file_offset, uint64_t from, uint64_t to, int fd, GError **error)
{
    g_autofree uint8_t *data = g_malloc(CHUNK);

    for (uint64_t at = from; at < to;) {
        size_t n = (size_t)MIN(to - at, CHUNK);
        size_t got = mig_recording_peek(recording, channel, file_offset + at, data, n);
        if (got < n) {
            m->bad = true;
            m->bad_offset = file_offset + at + got;
            return true;
        }
        for (size_t done = 0; done < n; done += MIN(m->page_size, n - done)) {
            if (!mig_image_write(fd, at + done, data + done, MIN(m->page_size, n - done), error)) {
                return false;
            }
        }
        at += n;
    }
    return true;
}

static bool copy_set(MigMappedImage *m, MigRecording *recording, unsigned channel,
                     uint64_t file_offset, int fd, GError **error)
{
    uint64_t pages = m->length / m->page_size;

    for (uint64_t page = next_page(m, 0, pages, true); page < pages && !m->bad;) {
        uint64_t end = next_page(m, page, pages, false);
        if (!copy_run(m, recording, channel, file_offset, page * m->page_size, end * m->page_size,
                      fd, error)) {
            return false;
        }
        m->pages += end - page;
        page = next_page(m, end, pages, true);
    }
    return true;
}

bool mig_mapped_begin(MigMappedImage *m, MigRecording *recording, unsigned channel,
                      uint64_t file_offset, int fd, GError **error)
{
    const MigInput *in = mig_recording_input(recording);

    m->pages = 0;
    m->bad = false;
    if (in && can_seek(in)) {
        return copy_set(m, recording, channel, file_offset, fd, error);
    }
    if (m->length == 0) {
        return true;
    }
    if (!mig_image_resize(fd, m->length, error)) {
        return false;
    }
    m->map = mmap(NULL, m->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m->map == MAP_FAILED) {
        m->map = NULL;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "the image: can't map %" G_GUINT64_FORMAT " bytes: %s", m->length,
                    g_strerror(errno));
        return false;
    }
    mig_recording_payload_into(recording, channel, m->map);
    return true;
}

bool mig_mapped_finish(MigMappedImage *m, int fd, GError **error)
{
    uint64_t pages = m->length / m->page_size;

    mig_mapped_clear(m);
    for (uint64_t page = 0; page < pages;) {
        uint64_t end = next_page(m, page, pages, true);
        if (!mig_image_zero(fd, page * m->page_size, (end - page) * m->page_size, error)) {
            return false;
        }
        page = next_page(m, end, pages, false);
        m->pages += page - end;
    }
    return true;
}

void mig_mapped_clear(MigMappedImage *m)
{
    if (m->map) {
        munmap(m->map, m->length);
        m->map = NULL;
    }
}
