/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: the input is a file, opened by its first bytes. What it gives must be the same when
 * it is read in order, looked at from behind, and after a look at its beginning; at most 2 MiB of
 * it are read, since a small file may hold much.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/world/input.h"
#include "tests/fuzz/fuzz.h"

#define CAP (2u << 20)

/* Everything up to CAP; false where the input says that it is damaged. */
static bool read_some(MigInput *in, GByteArray *out, bool *end)
{
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    size_t n = 1;

    while (n > 0 && out->len < CAP) {
        if (!mig_input_next(in, &data, &n, &error)) {
            MIG_FUZZ_CHECK(error != NULL);
            return false;
        }
        g_byte_array_append(out, data, (guint)n);
        MIG_FUZZ_CHECK(in->offset == out->len);
    }
    *end = n == 0;
    return true;
}

static void look_back(MigInput *in, const GByteArray *all)
{
    g_autoptr(GBytes) tail = mig_input_tail(in, 100, NULL);
    gsize n = 0;
    const uint8_t *bytes = tail ? g_bytes_get_data(tail, &n) : NULL;

    MIG_FUZZ_CHECK(tail != NULL);
    MIG_FUZZ_CHECK(n == MIN(100, all->len));
    MIG_FUZZ_CHECK(n == 0 || memcmp(bytes, all->data + all->len - n, n) == 0);
    MIG_FUZZ_CHECK(in->size == all->len);
}

static void try_path(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) in = mig_input_open(path, &error);
    g_autoptr(GByteArray) all = g_byte_array_new();
    uint8_t head[8];
    bool end = false;

    MIG_FUZZ_CHECK((in == NULL) == (error != NULL));
    if (!in) {
        return;
    }
    size_t seen = mig_input_peek(in, 0, head, sizeof(head));
    bool good = read_some(in, all, &end);
    MIG_FUZZ_CHECK(seen == MIN(sizeof(head), all->len));
    MIG_FUZZ_CHECK(seen == 0 || memcmp(head, all->data, seen) == 0);
    if (good && end) {
        look_back(in, all);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    MIG_FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    try_path(path);
    close(fd);
    return 0;
}
