/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares, see shard.h. What schedulers tell a job differs in three ways: where counting begins,
 * whether the step between two indexes can be other than 1, and whether the count is told at all.
 *
 * A job that two schedulers number (mpirun inside of an array) is refused: either number alone
 * would run some cells several times. A rank in a world of one process is no number.
 */
#include "sim/sweep/shard.h"

#include <string.h>

typedef struct Scheduler {
    const char *name;
    const char *index;        /* decides whether it is this one */
    const char *count, *last; /* one of them, or neither */
    const char *first, *step; /* variables, or NULL */
    uint64_t base;            /* the first index where no variable says it */
    bool ranks;               /* of processes: a count of 1 means that it isn't used */
    bool zero_is_none;        /* index 0: not an array */
} Scheduler;

static const Scheduler schedulers[] = {
    { "Slurm", "SLURM_ARRAY_TASK_ID", .count = "SLURM_ARRAY_TASK_COUNT",
      .first = "SLURM_ARRAY_TASK_MIN", .step = "SLURM_ARRAY_TASK_STEP" },
    { "PBS", "PBS_ARRAY_INDEX", .base = 1 },
    { "LSF", "LSB_JOBINDEX", .last = "LSB_JOBINDEX_END", .step = "LSB_JOBINDEX_STEP", .base = 1,
      .zero_is_none = true },
    { "Kubernetes", "JOB_COMPLETION_INDEX" },
    { "AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", .count = "AWS_BATCH_JOB_ARRAY_SIZE" },
    { "Open MPI", "OMPI_COMM_WORLD_RANK", .count = "OMPI_COMM_WORLD_SIZE", .ranks = true },
    { "PMI", "PMI_RANK", .count = "PMI_SIZE", .ranks = true },
};

typedef const char *Getenv(const char *name);

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, MIG_SHARD_ERROR, 0, "--shard: %s", text);
    return false;
}

/* |name| may be NULL; *value keeps its own where the variable isn't there. */
static bool read_variable(const char *name, Getenv *get, uint64_t *value, bool *there,
                          GError **error)
{
    const char *text = name ? get(name) : NULL;
    *there = text != NULL;
    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32, value, NULL)) {
        return fail(error, "%s is \"%s\"; expected a whole number", name, text);
    }
    return true;
}

static bool is_used(const Scheduler *s, Getenv *get)
{
    const char *index = get(s->index), *count = s->count ? get(s->count) : NULL;
    return index && !(s->ranks && count && strcmp(count, "1") == 0) &&
           !(s->zero_is_none && strcmp(index, "0") == 0);
}

static const Scheduler *find(Getenv *get, GError **error)
{
    const Scheduler *found = NULL, *alone = NULL;
    g_autoptr(GString) known = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(schedulers); i++) {
        const Scheduler *s = &schedulers[i];
        g_string_append_printf(known, "%s%s", i ? ", " : "", s->index);
        if (!is_used(s, get)) {
            alone = s->ranks && get(s->index) ? s : alone;
            continue;
        }
        if (found) {
            fail(error, "both %s (%s) and %s (%s) number this process; say --shard K/N",
                 found->name, found->index, s->name, s->index);
            return NULL;
        }
        found = s;
    }
    found = found ? found : alone;
    if (!found) {
        fail(error, "no scheduler's number in the environment (looked for %s); say --shard K/N",
             known->str);
    }
    return found;
}

static bool read_count(const Scheduler *s, Getenv *get, uint64_t first, uint64_t step, uint64_t *n,
                       GError **error)
{
    uint64_t last = 0;
    bool has_count, has_last;
    if (!read_variable(s->count, get, n, &has_count, error) ||
        !read_variable(s->last, get, &last, &has_last, error)) {
        return false;
    }
    if (has_last && last >= first) {
        *n = (last - first) / step + 1;
        return true;
    }
    const char *variable = s->count ? s->count : s->last;
    return has_count ||
           fail(error, "%s gives %s=%s, but not how many there are (%s); say --shard auto/N",
                s->name, s->index, get(s->index),
                variable ? variable : "it has no variable for it");
}

/* |n| 0: from the environment. */
static bool from_environment(uint64_t n, Getenv *get, MigShard *shard, GError **error)
{
    const Scheduler *s = find(get, error);
    bool there;
    if (!s) {
        return false;
    }
    uint64_t index = 0, first = s->base, step = 1;
    if (!read_variable(s->index, get, &index, &there, error) ||
        !read_variable(s->first, get, &first, &there, error) ||
        !read_variable(s->step, get, &step, &there, error)) {
        return false;
    }
    step = MAX(step, 1);
    if (n == 0 && !read_count(s, get, first, step, &n, error)) {
        return false;
    }
    if (index < first || (index - first) % step != 0 || (index - first) / step >= n) {
        return fail(error,
                    "%s is %" G_GUINT64_FORMAT "; expected %" G_GUINT64_FORMAT
                    " to %" G_GUINT64_FORMAT " in steps of %" G_GUINT64_FORMAT,
                    s->index, index, first, first + (n - 1) * step, step);
    }
    *shard = (MigShard){ .k = (index - first) / step + 1, .n = n, .from = s->index };
    return true;
}

bool mig_shard_parse(const char *text, Getenv *get, MigShard *shard, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", -1);
    uint64_t k = 0, n = 0;
    guint count = g_strv_length(parts);
    bool automatic = count > 0 && strcmp(parts[0], "auto") == 0;
    if (count == 1 && automatic) {
        return from_environment(0, get, shard, error);
    }
    if (count != 2 || !g_ascii_string_to_unsigned(parts[1], 10, 1, G_MAXUINT32, &n, NULL) ||
        (!automatic && !g_ascii_string_to_unsigned(parts[0], 10, 1, n, &k, NULL))) {
        return fail(error, "\"%s\" is not K/N with 1 <= K <= N, auto, or auto/N", text);
    }
    *shard = (MigShard){ .k = k, .n = n };
    return !automatic || from_environment(n, get, shard, error);
}
