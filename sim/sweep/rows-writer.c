/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of rows, see rows-writer.h. This is the one output that keeps its name while it is
 * unfinished: it is made to be continued, and says itself whether it is whole.
 */
#include "sim/sweep/rows-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SYNC_ROWS        256
#define SYNC_INTERVAL_US 1000000

struct MigRowsWriter {
    int fd;
    char *path;
    uint64_t rows;  /* in the file */
    unsigned dirty; /* rows since the last fdatasync() */
    gint64 synced;  /* g_get_monotonic_time() */
};

static bool fail_errno(GError **error, const MigRowsWriter *w, const char *what)
{
    int code = errno;
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "cannot %s %s: %s", what,
                w->path, g_strerror(code));
    return false;
}

static bool write_all(MigRowsWriter *w, const char *text, GError **error)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t written = write(w->fd, text, n);
        if (written < 0 && errno != EINTR) {
            return fail_errno(error, w, "write");
        }
        text += MAX(written, 0);
        n -= (size_t)MAX(written, 0);
    }
    return true;
}

static bool force(MigRowsWriter *w, GError **error)
{
    w->dirty = 0;
    w->synced = g_get_monotonic_time();
    return fdatasync(w->fd) == 0 || errno == EINVAL || fail_errno(error, w, "sync");
}

/* The file's name has to survive, too. */
static void sync_folder(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static bool begin(MigRowsWriter *w, const MigRowsHeader *header, GError **error)
{
    g_autofree char *line = mig_rows_header_line(header);
    if (ftruncate(w->fd, 0) != 0) {
        return fail_errno(error, w, "write");
    }
    if (!write_all(w, line, error) || !force(w, error)) {
        return false;
    }
    sync_folder(w->path);
    return true;
}

static bool resume_at(MigRowsWriter *w, const MigRows *rows, const MigRowsHeader *header,
                      GError **error)
{
    if (!mig_rows_same(&rows->header, w->path, header, "this sweep", error)) {
        return false;
    }
    if (g_strcmp0(rows->header.shard, header->shard) != 0) {
        g_set_error(error, MIG_ROWS_ERROR, 0, "%s has the rows of share %s, this is %s", w->path,
                    rows->header.shard ? rows->header.shard : "1/1",
                    header->shard ? header->shard : "1/1");
        return false;
    }
    w->rows = rows->lines->len;
    return ftruncate(w->fd, (off_t)rows->good) == 0 || fail_errno(error, w, "write");
}

static bool open_locked(MigRowsWriter *w, bool resume, GError **error)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (resume ? 0 : O_EXCL);
    w->fd = g_open(w->path, flags, 0666);
    if (w->fd < 0 && errno == EEXIST) {
        g_set_error(error, MIG_ROWS_ERROR, 0, "%s is there already; --resume goes on with it",
                    w->path);
        return false;
    }
    if (w->fd < 0) {
        return fail_errno(error, w, "open");
    }
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "%s: another process writes it",
                    w->path);
        return false;
    }
    return true;
}

MigRowsWriter *mig_rows_writer_open(const char *path, const MigRowsHeader *header, bool resume,
                                    MigRows **present, GError **error)
{
    g_autoptr(MigRowsWriter) w = g_new0(MigRowsWriter, 1);
    g_autoptr(MigRows) rows = NULL;
    w->path = g_strdup(path);
    *present = NULL;
    if (!open_locked(w, resume, error)) {
        return NULL;
    }
    if (resume && !(rows = mig_rows_load(path, error))) {
        return NULL;
    }
    bool fresh = !rows || !rows->header.spec; /* not even a whole header */
    if (!(fresh ? begin(w, header, error) : resume_at(w, rows, header, error))) {
        return NULL;
    }
    *present = fresh ? NULL : g_steal_pointer(&rows);
    return g_steal_pointer(&w);
}

bool mig_rows_writer_add(MigRowsWriter *w, const char *line, GError **error)
{
    if (!write_all(w, line, error)) {
        return false;
    }
    w->rows++;
    w->dirty++;
    bool due = w->dirty >= SYNC_ROWS || g_get_monotonic_time() - w->synced >= SYNC_INTERVAL_US;
    return !due || force(w, error);
}

bool mig_rows_writer_close(MigRowsWriter *w, bool complete, GError **error)
{
    g_autofree char *line = mig_rows_end_line(w->rows);
    return (!complete || write_all(w, line, error)) && force(w, error);
}

void mig_rows_writer_free(MigRowsWriter *w)
{
    if (w) {
        if (w->fd >= 0) {
            close(w->fd);
        }
        g_free(w->path);
        g_free(w);
    }
}
