/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/image.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "stream/zero.h"

static bool fail(const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "the image: %s: %s", what,
                g_strerror(errno));
    return false;
}

bool mig_image_read(int fd, uint64_t offset, uint8_t *data, size_t n, GError **error)
{
    while (n) {
        ssize_t got = pread(fd, data, n, (off_t)offset);
        if (got < 0 && errno != EINTR) {
            return fail("read failed", error);
        }
        if (got == 0) {
            memset(data, 0, n);
            return true;
        }
        if (got > 0) {
            data += got;
            n -= (size_t)got;
            offset += (uint64_t)got;
        }
    }
    return true;
}

static bool write_all(int fd, uint64_t offset, const uint8_t *data, size_t n, GError **error)
{
    while (n) {
        ssize_t done = pwrite(fd, data, n, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return fail("write failed", error);
        }
        if (done > 0) {
            data += done;
            n -= (size_t)done;
            offset += (uint64_t)done;
        }
    }
    return true;
}

bool mig_image_zero(int fd, uint64_t offset, uint64_t n, GError **error)
{
    static const uint8_t zeros[4096];

    if (n == 0 ||
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)n) == 0) {
        return true;
    }
    for (uint64_t done = 0; done < n; done += sizeof(zeros)) {
        if (!write_all(fd, offset + done, zeros, (size_t)MIN(n - done, sizeof(zeros)), error)) {
            return false;
        }
    }
    return true;
}

bool mig_image_write(int fd, uint64_t offset, const uint8_t *data, size_t n, GError **error)
{
    return mig_is_zero(data, n) ? mig_image_zero(fd, offset, n, error)
                                : write_all(fd, offset, data, n, error);
}

bool mig_image_resize(int fd, uint64_t length, GError **error)
{
    return ftruncate(fd, (off_t)length) == 0 || fail("can't set its size", error);
}
