/* SPDX-License-Identifier: Apache-2.0 */
/* Writing blocks of memory to files, see dump.h. */
#include "sim/dump.h"

#include <string.h>

/* The block that |argument| begins with, and the file behind the '='. */
static const char *split(const MigScenario *s, const char *argument, uint32_t *block)
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

bool mig_dump_check(const MigScenario *s, char **dumps, GError **error)
{
    uint32_t block;
    for (; dumps && *dumps; dumps++) {
        if (!split(s, *dumps, &block)) {
            g_set_error(error, MIG_READER_ERROR, 0,
                        "--dump %s: expected BLOCK=FILE with a block of the scenario", *dumps);
            return false;
        }
    }
    return true;
}

bool mig_dump_blocks(const MigScenario *s, MigMemory *m, char **dumps, GError **error)
{
    uint32_t block = 0;
    if (!mig_dump_check(s, dumps, error)) {
        return false;
    }
    for (; dumps && *dumps; dumps++) {
        const char *path = split(s, *dumps, &block);
        if (!mig_memory_dump(m, block, path, error)) {
            return false;
        }
    }
    return true;
}
