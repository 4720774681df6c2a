/* SPDX-License-Identifier: Apache-2.0 */
/* mig-generate VERSION FIRST COUNT FOLDER: writes SEED.mig, SEED.mem and SEED.txt for each seed. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/generator/generator.h"

static void save(const char *folder, guint64 seed, const char *suffix, const void *data, gsize n)
{
    g_autofree char *path = g_strdup_printf("%s/%" G_GUINT64_FORMAT ".%s", folder, seed, suffix);
    g_autoptr(GError) error = NULL;

    if (!g_file_set_contents(path, data, (gssize)n, &error)) {
        fprintf(stderr, "mig-generate: %s\n", error->message);
        exit(4);
    }
}

int main(int argc, char **argv)
{
    const MigGeneratorEra *era = argc == 5 ? mig_generator_era(argv[1]) : NULL;
    if (!era) {
        fprintf(stderr, "usage: mig-generate 5.2|7.2|10.0|11.1 FIRST-SEED COUNT FOLDER\n");
        return 2;
    }
    guint64 first = g_ascii_strtoull(argv[2], NULL, 10);
    guint64 count = g_ascii_strtoull(argv[3], NULL, 10);
    for (guint64 seed = first; seed < first + count; seed++) {
        MigGenerated *g = mig_generate_main(seed, era);
        save(argv[4], seed, "mig", g->stream->data, g->stream->len);
        save(argv[4], seed, "mem", g->memory, MIG_GENERATED_MEMORY);
        save(argv[4], seed, "txt", g->recipe->str, g->recipe->len);
        mig_generated_free(g);
    }
    return 0;
}
