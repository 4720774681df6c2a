/* SPDX-License-Identifier: Apache-2.0 */
/* Which share of a sweep a process runs, from what each scheduler says. */
#include <string.h>

#include "sim/sweep/shard.h"

static const char *const *environment; /* name, value, ..., NULL */

static const char *fake_getenv(const char *name)
{
    for (const char *const *e = environment; *e; e += 2) {
        if (strcmp(*e, name) == 0) {
            return e[1];
        }
    }
    return NULL;
}

typedef struct ShardRow {
    const char *text;
    const char *environment[11];
    uint64_t k, n;
    const char *message;
} ShardRow;

static const ShardRow shard_rows[] = {
    { "1/1", { NULL }, 1, 1 },
    { "3/8", { NULL }, 3, 8 },
    { "0/8", { NULL }, .message = "\"0/8\" is not K/N with 1 <= K <= N, auto, or auto/N" },
    { "9/8", { NULL }, .message = "\"9/8\" is not K/N with 1 <= K <= N, auto, or auto/N" },
    { "3", { NULL }, .message = "\"3\" is not K/N with 1 <= K <= N, auto, or auto/N" },
    { "1/2/3", { NULL }, .message = "\"1/2/3\" is not K/N with 1 <= K <= N, auto, or auto/N" },
    { "auto/0", { NULL }, .message = "\"auto/0\" is not K/N with 1 <= K <= N, auto, or auto/N" },
    { "auto",
      { NULL },
      .message = "no scheduler's number in the environment (looked for SLURM_ARRAY_TASK_ID, "
                 "PBS_ARRAY_INDEX, LSB_JOBINDEX, JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, "
                 "OMPI_COMM_WORLD_RANK, PMI_RANK); say --shard K/N" },
    { "auto", { "SLURM_ARRAY_TASK_ID", "0", "SLURM_ARRAY_TASK_COUNT", "4" }, 1, 4 },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "7", "SLURM_ARRAY_TASK_COUNT", "4", "SLURM_ARRAY_TASK_MIN", "4" },
      4,
      4 },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "9", "SLURM_ARRAY_TASK_COUNT", "3", "SLURM_ARRAY_TASK_MIN", "1",
        "SLURM_ARRAY_TASK_STEP", "4" },
      3,
      3 },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "4", "SLURM_ARRAY_TASK_COUNT", "4" },
      .message = "SLURM_ARRAY_TASK_ID is 4; expected 0 to 3 in steps of 1" },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "1" },
      .message = "Slurm gives SLURM_ARRAY_TASK_ID=1, but not how many there are "
                 "(SLURM_ARRAY_TASK_COUNT); say --shard auto/N" },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "x", "SLURM_ARRAY_TASK_COUNT", "4" },
      .message = "SLURM_ARRAY_TASK_ID is \"x\"; expected a whole number" },
    { "auto/8", { "PBS_ARRAY_INDEX", "8" }, 8, 8 },
    { "auto/8",
      { "PBS_ARRAY_INDEX", "0" },
      .message = "PBS_ARRAY_INDEX is 0; expected 1 to 8 in steps of 1" },
    { "auto",
      { "PBS_ARRAY_INDEX", "1" },
      .message = "PBS gives PBS_ARRAY_INDEX=1, but not how many there are (it has no variable for "
                 "it); say --shard auto/N" },
    { "auto", { "LSB_JOBINDEX", "2", "LSB_JOBINDEX_END", "5" }, 2, 5 },
    { "auto", { "LSB_JOBINDEX", "5", "LSB_JOBINDEX_END", "5", "LSB_JOBINDEX_STEP", "2" }, 3, 3 },
    { "auto/2", { "LSB_JOBINDEX", "1" }, 1, 2 },
    { "auto",
      { "LSB_JOBINDEX", "1" },
      .message = "LSF gives LSB_JOBINDEX=1, but not how many there are (LSB_JOBINDEX_END); say "
                 "--shard auto/N" },
    { "auto/4", { "JOB_COMPLETION_INDEX", "3" }, 4, 4 },
    { "auto",
      { "JOB_COMPLETION_INDEX", "3" },
      .message = "Kubernetes gives JOB_COMPLETION_INDEX=3, but not how many there are (it has no "
                 "variable for it); say --shard auto/N" },
    { "auto", { "AWS_BATCH_JOB_ARRAY_INDEX", "3", "AWS_BATCH_JOB_ARRAY_SIZE", "9" }, 4, 9 },
    { "auto/9", { "AWS_BATCH_JOB_ARRAY_INDEX", "3" }, 4, 9 },
    { "auto", { "OMPI_COMM_WORLD_RANK", "1", "OMPI_COMM_WORLD_SIZE", "2" }, 2, 2 },
    { "auto", { "OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "1" }, 1, 1 },
    { "auto", { "PMI_RANK", "1", "PMI_SIZE", "2" }, 2, 2 },
    { "auto", { "LSB_JOBINDEX", "0", "PMI_RANK", "1", "PMI_SIZE", "2" }, 2, 2 },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "1", "SLURM_ARRAY_TASK_COUNT", "4", "PMI_RANK", "0", "PMI_SIZE",
        "1" },
      2,
      4 },
    { "auto",
      { "SLURM_ARRAY_TASK_ID", "1", "SLURM_ARRAY_TASK_COUNT", "4", "PMI_RANK", "0", "PMI_SIZE",
        "2" },
      .message = "both Slurm (SLURM_ARRAY_TASK_ID) and PMI (PMI_RANK) number this process; say "
                 "--shard K/N" },
};

static void test_shards(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(shard_rows); i++) {
        const ShardRow *row = &shard_rows[i];
        g_autoptr(GError) error = NULL;
        MigShard shard = { 0 };
        environment = row->environment;
        bool fine = mig_shard_parse(row->text, fake_getenv, &shard, &error);
        g_assert_cmpint(fine, ==, row->message == NULL);
        if (row->message) {
            g_assert_cmpstr(error->message + strlen("--shard: "), ==, row->message);
        } else {
            g_assert_cmpuint(shard.k, ==, row->k);
            g_assert_cmpuint(shard.n, ==, row->n);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sweep/shard/table", test_shards);
    return g_test_run();
}
