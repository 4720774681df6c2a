/* SPDX-License-Identifier: Apache-2.0 */
/* A file without a name, see image.h: what nobody wrote takes no memory. */
#include "sim/simulate/image.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/world/mapped-reader.h"

struct MigImage {
    int fd;
    uint64_t at; /* where the stream goes on */
};

MigImage *mig_image_new(GError **error)
{
    int fd = memfd_create("mapped-ram", MFD_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "mapped-ram: cannot make a file in memory: %s", g_strerror(errno));
        return NULL;
    }
    MigImage *i = g_new0(MigImage, 1);
    i->fd = fd;
    return i;
}

void mig_image_free(MigImage *i)
{
    if (i) {
        close(i->fd);
        g_free(i);
    }
}

void mig_image_seek(MigImage *i, uint64_t at)
{
    i->at = at;
}

uint64_t mig_image_next(MigImage *i, uint64_t n)
{
    uint64_t at = i->at;
    i->at += n;
    return at;
}

bool mig_image_place(MigImage *i, uint64_t at, const void *data, size_t n, GError **error)
{
    ssize_t done = pwrite(i->fd, data, n, (off_t)at);
    if (done != (ssize_t)n) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                    "mapped-ram: cannot keep the file in memory: %s",
                    done < 0 ? g_strerror(errno) : "no space");
    }
    return done == (ssize_t)n;
}

bool mig_image_load(MigImage *i, MigDest *d, MigMemory *memory, unsigned threads, GError **error)
{
    MigMappedReader *r = mig_mapped_reader_new(memory, i->fd, threads);
    bool fine = lseek(i->fd, 0, SEEK_SET) == 0 && mig_mapped_reader_load(r, d, error);
    mig_mapped_reader_free(r);
    return fine;
}
