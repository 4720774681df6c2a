/* SPDX-License-Identifier: Apache-2.0 */
/* Writing blocks of memory to files, see dump.h. */
#include "sim/dump.h"

#include <errno.h>
#include <string.h>

#include "sim/world/output.h"

/* The block that |argument| begins with, and the file behind the '='. */
static const char *split_block(const MigScenario *s, const char *argument, uint32_t *block)
{
    for (uint32_t i = 0; i < s->blocks->len; i++) {
        const char *name = g_array_index(s->blocks, MigScenarioBlock, i).name;
        size_t n = strlen(name);
        if (strncmp(argument, name, n) == 0 && argument[n] == '=' && argument[n + 1]) {
            *block = i;
            return argument + n + 1;
        }
    }
    return NULL;
}

static const char *split(const MigScenario *s, const char *argument, bool *is_disk, uint32_t *index)
{
    const char *path = split_block(s, argument, index);
    *is_disk = !path;
    return path ? path : split_block(s->disks, argument, index);
}

bool mig_dump_check(const MigScenario *s, char **dumps, GError **error)
{
    uint32_t block;
    bool is_disk;
    for (; dumps && *dumps; dumps++) {
        if (!split(s, *dumps, &is_disk, &block)) {
            g_set_error(error, MIG_READER_ERROR, 0,
                        "--dump %s: expected BLOCK=FILE with a block or disk of the scenario",
                        *dumps);
            return false;
        }
    }
    return true;
}

static bool dump(MigMemory *m, uint32_t block, const char *path, GError **error)
{
    g_autoptr(MigOutput) out = mig_output_open(path, error);
    if (!out) {
        return false;
    }
    if (!mig_memory_dump(m, block, fileno(out->file))) {
        int code = errno;
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "cannot write %s: %s", path,
                    g_strerror(code));
        return false;
    }
    return mig_output_commit(out, error);
}

bool mig_dump_blocks(const MigScenario *s, MigMemory *m, const MigScenarioDisks *disks,
                     char **dumps, GError **error)
{
    uint32_t block = 0;
    bool is_disk = false;
    if (!mig_dump_check(s, dumps, error)) {
        return false;
    }
    for (; dumps && *dumps; dumps++) {
        const char *path = split(s, *dumps, &is_disk, &block);
        MigMemory *from = is_disk ? mig_disks_memory(disks->disks) : m;
        if (!dump(from, block, path, error)) {
            return false;
        }
    }
    return true;
}
