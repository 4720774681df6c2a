/* SPDX-License-Identifier: Apache-2.0 */
/* Sweeps: samples, cells, files of rows cut anywhere, and every complaint word for word. */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/simulate/result.h"
#include "sim/sweep/axis.h"
#include "sim/sweep/merge.h"
#include "sim/sweep/metrics.h"
#include "sim/sweep/pool.h"
#include "sim/sweep/rows-writer.h"
#include "sim/sweep/sample.h"

/* Samples ----------------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_latin_strata(void)
{
    static const uint64_t counts[] = { 1, 2, 3, 10, 1000 };
    for (size_t c = 0; c < G_N_ELEMENTS(counts); c++) {
        uint64_t n = counts[c];
        g_autofree uint64_t *positions = g_new(uint64_t, n);
        mig_sample_latin(7, "a", 0, n, positions);
        bool shuffled = false;
        for (uint64_t i = 0; i + 1 < n; i++) {
            shuffled |= positions[i] > positions[i + 1];
        }
        g_assert_true(shuffled || n < 10);
        qsort(positions, n, sizeof(*positions), compare_u64);
        for (uint64_t i = 0; i < n; i++) {
            g_assert_cmpuint(positions[i] >> 32, ==, i);
        }
    }
}

static void test_streams_are_apart(void)
{
    uint64_t a[100], b[100], c[100], again[100];
    mig_sample_latin(7, "a", 0, 100, a);
    mig_sample_latin(7, "b", 0, 100, b);
    mig_sample_latin(7, "a", 1, 100, c);
    mig_sample_latin(7, "a", 0, 100, again);
    g_assert_cmpmem(a, sizeof(a), again, sizeof(again));
    g_assert_true(memcmp(a, b, sizeof(a)) != 0 && memcmp(a, c, sizeof(a)) != 0);
}

static void test_random_is_inside(void)
{
    uint64_t positions[1000], halves[2] = { 0 };
    mig_sample_random(7, "a", 0, 1000, positions);
    for (size_t i = 0; i < 1000; i++) {
        g_assert_cmpuint(positions[i] >> 32, <, 1000);
        halves[(positions[i] >> 32) / 500]++;
    }
    g_assert_cmpuint(halves[0], >, 400); /* six standard deviations */
    g_assert_cmpuint(halves[1], >, 400);
}

static void test_choices_are_even(void)
{
    uint64_t positions[600], seen[7] = { 0 };
    mig_sample_latin(3, "a", 0, 600, positions);
    for (size_t i = 0; i < 600; i++) {
        uint64_t choice = mig_sample_choice(positions[i], 600, 7);
        g_assert_cmpuint(choice, <, 7);
        seen[choice]++;
    }
    for (size_t i = 0; i < 7; i++) {
        g_assert_cmpuint(seen[i], >=, 600 / 7 - 1);
        g_assert_cmpuint(seen[i], <=, 600 / 7 + 2);
    }
    uint64_t last = (UINT64_C(1) << 24 << 32) - 1; /* the largest position of all */
    uint64_t end = mig_sample_choice(last, 1u << 24, INT64_MAX);
    g_assert_cmpuint(end, <, INT64_MAX);
    g_assert_cmpuint(end, >, INT64_MAX - 256); /* a position has 56 bits */
    g_assert_cmpuint(mig_sample_choice(0, 1u << 24, INT64_MAX), ==, 0);
}

static void test_log_scale(void)
{
    static const struct {
        uint64_t position, count, from, to, value;
    } rows[] = {
        { 0, 1, 1, 1024, 1 },
        { UINT64_C(5) << 32, 10, 1, 1024, 32 }, /* the middle */
        { UINT64_C(1) << 32, 10, 1, 1024, 2 },
        { UINT64_C(1) << 32, 2, 100, 1000000, 10000 },
        { UINT64_C(2) << 32, 3, 1000, 1000000000, 10000000 },
        { UINT64_C(1) << 32, 2, 7, 7, 7 },
        { UINT64_C(1) << 32, 2, 1, INT64_MAX, 3037000500 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t got = mig_sample_log(rows[i].position, rows[i].count, rows[i].from, rows[i].to);
        uint64_t away = got > rows[i].value ? got - rows[i].value : rows[i].value - got;
        g_assert_cmpuint(away, <=, rows[i].value >> 26);
    }
    uint64_t before = 0;
    for (uint64_t p = 0; p < 1000; p++) {
        uint64_t value = mig_sample_log(p << 32, 1000, 10, 100000000);
        g_assert_cmpuint(value, >=, MAX(before, 10));
        g_assert_cmpuint(value, <=, 100000000);
        before = value;
    }
}

/* Specs ------------------------------------------------------------------------------------- */

#define SCENARIO                                                                            \
    "\"scenario\":{\"schema\":\"migbench-scenario-1\",\"guest\":{\"ram\":[{\"name\":\"r\"," \
    "\"size\":\"64k\"}]}}"
#define TOP "{\"schema\":\"migbench-sweep-1\"," SCENARIO

static char *write_spec(const char *text)
{
    g_autofree char *folder = g_dir_make_tmp("sweep-XXXXXX", NULL);
    char *path = g_build_filename(folder, "s.json", NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void remove_spec(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_unlink(path);
    g_rmdir(folder);
}

static MigSweep *load(const char *text, GError **error)
{
    g_autofree char *path = write_spec(text);
    MigSweep *s = mig_sweep_load(path, error);
    remove_spec(path);
    return s;
}

#define AXES(a) TOP ",\"axes\":[" a "]}"
#define LATIN(range) \
    AXES("{\"kind\":\"latin-hypercube\",\"count\":2,\"ranges\":[{\"path\":\"limit\"," range "}]}")

static void test_errors(void)
{
    static const struct {
        const char *text, *message; /* what follows the file's name */
    } rows[] = {
        { "{}", "(top): the key \"schema\" is missing" },
        { TOP ",\"axis\":[]}", "axis: unknown key \"axis\"; did you mean \"axes\"?" },
        { TOP "}", "(top): the key \"axes\" is missing" },
        { "{\"schema\":\"migbench-sweep-1\",\"scenario\":5,\"axes\":[]}",
          "scenario: expected a scenario, or the name of its file" },
        { TOP ",\"axes\":[],\"replicates\":0}", "replicates: expected 1 to 100000000" },
        { TOP ",\"axes\":[],\"metrics\":5}", "metrics: expected \"all\" or an array of names" },
        { TOP ",\"axes\":[],\"metrics\":[\"query-migrate.downtim\"]}",
          "metrics[0]: unknown metric \"query-migrate.downtim\"; did you mean "
          "\"query-migrate.downtime\"?" },
        { TOP ",\"axes\":[],\"metrics\":[\"downtime\"]}",
          "metrics[0]: unknown metric \"downtime\"; did you mean "
          "\"query-migrate.downtime\"?" },
        { AXES("5"), "axes[0]: expected an object with a \"kind\"" },
        { AXES("{}"), "axes[0]: the key \"kind\" is missing; expected grid, list, latin-hypercube "
                      "or random" },
        { AXES("{\"kind\":\"gird\"}"),
          "axes[0].kind: unknown value \"gird\"; did you mean \"grid\"?" },
        { AXES("{\"kind\":\"grid\",\"path\":\"limit\",\"value\":[]}"),
          "axes[0].value: unknown key \"value\"; did you mean \"values\"?" },
        { AXES("{\"kind\":\"grid\",\"path\":\"limit\",\"values\":[]}"),
          "axes[0].values: expected one or more, found an empty array" },
        { AXES("{\"kind\":\"grid\",\"path\":\"a..b\",\"values\":[1]}"),
          "axes[0].path: \"a..b\" has an empty part; expected a path such as \"link.bandwidth\" or "
          "\"guest.ram[0].size\"" },
        { AXES("{\"kind\":\"grid\",\"path\":\"limit\",\"values\":[\"1s\",\"2s\",\"1s\"]}"),
          "axes[0]: rows 0 and 2 are the same, [\"1s\"]: a finer step, a lower count, or "
          "\"replicates\" help" },
        { AXES("{\"kind\":\"grid\",\"path\":\"seed\",\"values\":[1]}"),
          "axes: axis 0 has the path \"seed\": each cell gets a seed of its own; \"replicates\" "
          "gives several" },
        { AXES("{\"kind\":\"grid\",\"path\":\"guest.ram[0].size\",\"values\":[1]},{\"kind\":"
               "\"grid\",\"path\":\"guest.ram\",\"values\":[1]}"),
          "axes: \"guest.ram[0].size\" (axis 0) and \"guest.ram\" (axis 1) set the same value" },
        { AXES("{\"kind\":\"list\",\"paths\":[\"limit\",\"x-poll\"],\"rows\":[[1]]}"),
          "axes[0].rows[0]: expected an array of 2 values, one for each of \"paths\"" },
        { AXES("{\"kind\":\"random\",\"count\":0,\"ranges\":[]}"),
          "axes[0].count: expected 1 to 16777216, found 0" },
        { AXES("{\"kind\":\"random\",\"count\":1,\"ranges\":[{\"from\":1}]}"),
          "axes[0].ranges[0]: the key \"path\" is missing" },
        { LATIN("\"from\":1"), "axes[0].ranges[0]: expected \"from\" and \"to\", or \"values\"" },
        { LATIN("\"from\":\"1s\",\"to\":\"2G\""),
          "axes[0].ranges[0].to: expected a time as \"from\" is, found \"2G\"" },
        { LATIN("\"from\":-1,\"to\":2"),
          "axes[0].ranges[0].from: expected a whole number from 0, or a size (\"64M\"), a rate "
          "(\"1Gbit/s\") or a time (\"20ms\"), found -1" },
        { LATIN("\"from\":\"2s\",\"to\":\"1s\""),
          "axes[0].ranges[0]: \"to\" is below \"from\", or above 2^63 - 1" },
        { LATIN("\"from\":1,\"to\":2,\"step\":0"), "axes[0].ranges[0]: \"step\" is 0" },
        { LATIN("\"from\":0,\"to\":2,\"scale\":\"log\""),
          "axes[0].ranges[0]: a log scale can't begin at 0" },
        { LATIN("\"from\":1,\"to\":2,\"scale\":\"lg\""),
          "axes[0].ranges[0].scale: unknown value \"lg\"; did you mean \"log\"?" },
        { LATIN("\"values\":[1],\"step\":1"),
          "axes[0].ranges[0]: \"values\" go without \"from\", \"to\", \"step\" and \"scale\"" },
        { LATIN("\"values\":[]"),
          "axes[0].ranges[0]: \"values\": expected an array with one value or more" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigSweep) s = load(rows[i].text, &error);
        g_assert_null(s);
        const char *file = strstr(error->message, "s.json: ");
        g_assert_nonnull(file);
        g_assert_cmpstr(file + strlen("s.json: "), ==, rows[i].message);
    }
}

/* What the scenario says about a value is passed on, with the row that it is about. */
static void test_bad_rows(void)
{
    static const struct {
        const char *text, *start, *end;
    } rows[] = {
        { AXES("{\"kind\":\"grid\",\"path\":\"link.bandwidht\",\"values\":[1]}"),
          "axes: row 0 of axis 0 (cell 0, {\"link.bandwidht\":1}): ",
          "unknown key \"bandwidht\"; did you mean \"bandwidth\"?" },
        { AXES("{\"kind\":\"grid\",\"path\":\"guest.ram[3].size\",\"values\":[1]}"),
          "axes: row 0 of axis 0 (cell 0, {\"guest.ram[3].size\":1}): ",
          "guest.ram[3].size: there is no 3" },
        { AXES("{\"kind\":\"grid\",\"path\":\"limit\",\"values\":[\"1s\",\"2x\"]},"
               "{\"kind\":\"grid\",\"path\":\"x-poll\",\"values\":[\"1ms\",\"2ms\"]}"),
          "axes: row 1 of axis 0 (cell 2, {\"limit\":\"2x\",\"x-poll\":\"1ms\"}): ",
          "\"2x\" is not a time; expected a number with ns, us, ms, s or min" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigSweep) s = load(rows[i].text, &error);
        g_assert_null(s);
        const char *file = strstr(error->message, "s.json: ") + strlen("s.json: ");
        g_assert_true(g_str_has_prefix(file, rows[i].start));
        g_test_message("%s", file);
        g_assert_true(g_str_has_suffix(file, rows[i].end));
    }
}

static void test_paths(void)
{
    static const char *const rows[][2] = {
        { "a.b", "a.b" }, { "a.0.b", "a[0].b" }, { "a[0].b", "a[0].b" }, { "", NULL },
        { ".a", NULL },   { "a.", NULL },        { "a[].b", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = mig_sweep_path(rows[i][0]);
        g_assert_cmpstr(path, ==, rows[i][1]);
    }
}

/* Cells ------------------------------------------------------------------------------------- */

#define GRID_LIMIT "{\"kind\":\"grid\",\"path\":\"limit\",\"values\":[\"1s\",\"2s\",\"3s\"]}"
#define GRID_POLL  "{\"kind\":\"grid\",\"path\":\"x-poll\",\"values\":[\"1ms\",\"2ms\"]}"

static void test_cell_order(void)
{
    g_autoptr(MigSweep) s =
        load(TOP ",\"replicates\":2,\"axes\":[" GRID_LIMIT "," GRID_POLL "]}", NULL);
    static const char *const params[] = {
        "{\"limit\":\"1s\",\"x-poll\":\"1ms\"}", "{\"limit\":\"1s\",\"x-poll\":\"2ms\"}",
        "{\"limit\":\"2s\",\"x-poll\":\"1ms\"}", "{\"limit\":\"2s\",\"x-poll\":\"2ms\"}",
        "{\"limit\":\"3s\",\"x-poll\":\"1ms\"}", "{\"limit\":\"3s\",\"x-poll\":\"2ms\"}",
    };
    g_assert_cmpuint(s->cells, ==, 12);
    for (uint64_t i = 0; i < s->cells; i++) {
        MigSweepCell c = mig_sweep_cell(s, i);
        g_assert_cmpstr(json_object_to_json_string_ext(c.params, JSON_C_TO_STRING_PLAIN), ==,
                        params[i / 2]);
        g_assert_cmpuint(c.replicate, ==, i % 2);
        mig_sweep_cell_clear(&c);
    }
}

/* A cell is known by its values: not by the order of axes, nor by how a path is written. */
static void test_cell_identity(void)
{
    g_autoptr(MigSweep) a = load(TOP ",\"axes\":[" GRID_LIMIT "," GRID_POLL "]}", NULL);
    g_autoptr(MigSweep) b = load(TOP ",\"axes\":[" GRID_POLL "," GRID_LIMIT "]}", NULL);
    g_autoptr(MigSweep) other =
        load(TOP ",\"seed\":2,\"axes\":[" GRID_LIMIT "," GRID_POLL "]}", NULL);
    g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (uint64_t i = 0; i < 6; i++) {
        MigSweepCell x = mig_sweep_cell(a, i), y = mig_sweep_cell(b, i % 2 * 3 + i / 2);
        MigSweepCell z = mig_sweep_cell(other, i);
        g_assert_cmpstr(x.id, ==, y.id);
        g_assert_cmpuint(x.seed, ==, y.seed);
        g_assert_cmpstr(x.id, ==, z.id);
        g_assert_cmpuint(x.seed, !=, z.seed);
        g_assert_cmpuint(x.seed, <, UINT64_C(1) << 53);
        g_assert_true(g_hash_table_add(ids, g_strdup(x.id)));
        mig_sweep_cell_clear(&x);
        mig_sweep_cell_clear(&y);
        mig_sweep_cell_clear(&z);
    }
    g_assert_cmpstr(a->hash, !=, b->hash);
    g_assert_cmpstr(a->hash, !=, other->hash);
}

/* What identity and seed are made of is a promise to those who keep rows. */
static void test_cell_golden(void)
{
    g_autoptr(MigSweep) s = load(TOP ",\"axes\":[" GRID_LIMIT "]}", NULL);
    g_autofree char *digest =
        g_compute_checksum_for_string(G_CHECKSUM_SHA256, "{\"limit\":\"1s\"}", -1);
    digest[16] = '\0';
    g_autofree char *text = g_strdup_printf("1 %s 0", digest);
    g_autofree char *seed = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    seed[16] = '\0';
    MigSweepCell c = mig_sweep_cell(s, 0);
    g_assert_cmpstr(c.id, ==, digest);
    g_assert_cmpuint(c.seed, ==, g_ascii_strtoull(seed, NULL, 16) >> 11);
    mig_sweep_cell_clear(&c);
}

static void test_ranges_in_cells(void)
{
    g_autoptr(MigSweep) s =
        load(AXES("{\"kind\":\"latin-hypercube\",\"count\":20,\"ranges\":["
                  "{\"path\":\"guest.ram[0].size\",\"from\":\"64k\",\"to\":\"1M\",\"step\":\"4k\"},"
                  "{\"path\":\"link.bandwidth\",\"from\":\"1Mbit/s\",\"to\":\"1Gbit/s\",\"scale\":"
                  "\"log\"},{\"path\":\"link.framing\",\"values\":[\"none\",\"ethernet-tcp\"]}]}"),
             NULL);
    g_assert_nonnull(s);
    unsigned none = 0, strata = 0;
    for (uint64_t i = 0; i < 20; i++) {
        MigSweepCell c = mig_sweep_cell(s, i);
        json_object *size, *rate, *framing;
        json_object_object_get_ex(c.params, "guest.ram[0].size", &size);
        json_object_object_get_ex(c.params, "link.bandwidth", &rate);
        json_object_object_get_ex(c.params, "link.framing", &framing);
        g_assert_cmpint(json_object_get_int64(size) % 4096, ==, 0);
        strata |= 1u << ((json_object_get_int64(size) - 65536) / 4096 * 20 / 241);
        g_assert_true(g_str_has_suffix(json_object_get_string(rate), "bit/s"));
        none += strcmp(json_object_get_string(framing), "none") == 0;
        mig_sweep_cell_clear(&c);
    }
    g_assert_cmpuint(none, ==, 10);
    g_assert_cmpuint((unsigned)__builtin_popcount(strata), >=, 18); /* 241 steps in 20 parts */
}

/* Metrics ----------------------------------------------------------------------------------- */

static json_object *result_of(const char *path, bool accounting)
{
    static const char *const sets[] = { "limit=2s", NULL };
    g_autoptr(GError) error = NULL;
    g_autoptr(MigScenario) s = mig_scenario_load(path, sets, &error);
    g_assert_no_error(error);
    const MigSimulateOptions options = { .accounting = accounting };
    g_autoptr(MigSimulation) m = mig_simulate(s, &options, &error);
    g_assert_no_error(error);
    return mig_result_to_json(m);
}

/* Whatever "all" gives can be asked for by name, too. */
static void test_metric_names(void)
{
    static const char *const names[] = { "demo", "cancelled", "never-converges" };
    for (size_t i = 0; i < G_N_ELEMENTS(names) * 2; i++) {
        g_autofree char *file = g_strconcat(names[i / 2], ".json", NULL);
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "docs", "examples", file, NULL);
        json_object *result = result_of(path, i % 2), *flat = mig_sweep_metrics(result, NULL);
        g_assert_cmpint(json_object_object_length(flat), >, 10);
        json_object_object_foreach(flat, key, value)
        {
            (void)value;
            MigReader r = { .path = g_string_new(NULL), .file = "-" };
            g_assert_true(mig_sweep_metric_check(&r, key));
            g_string_free(r.path, TRUE);
        }
        json_object_put(flat);
        json_object_put(result);
    }
}

/* Files of rows ------------------------------------------------------------------------------ */

static const MigRowsHeader header = {
    .spec = (char *)"s", .build = (char *)"b", .version = (char *)"v", .cells = 3
};

static char *whole_file(void)
{
    g_autofree char *first = mig_rows_header_line(&header), *end = mig_rows_end_line(3);
    return g_strconcat(first, "{\"index\":2,\"status\":\"completed\"}\n",
                       "{\"index\":0,\"status\":\"x-invalid\"}\n",
                       "{\"index\":1,\"status\":\"failed\"}\n", end, NULL);
}

static guint lines_before(const char *text, size_t n)
{
    guint lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* A file that ends anywhere: what is whole is kept, and resuming makes the same file again. */
static void test_cut_anywhere(void)
{
    g_autofree char *text = whole_file(), *path = write_spec("");
    size_t n = strlen(text);
    for (size_t cut = 0; cut <= n; cut++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigRows) present = NULL;
        guint lines = lines_before(text, cut), rows = CLAMP(lines, 1, 4) - 1;
        g_assert_true(g_file_set_contents(path, text, (gssize)cut, NULL));
        MigRowsWriter *w = mig_rows_writer_open(path, &header, true, &present, &error);
        g_assert_no_error(error);
        g_assert_cmpint(present != NULL, ==, lines > 0);
        g_assert_cmpuint(present ? present->lines->len : 0, ==, rows);
        g_assert_cmpint(present ? present->ended : 0, ==, cut == n);
        for (const char *line = text; lines_before(text, (size_t)(line - text)) < 4;
             line = strchr(line, '\n') + 1) {
            g_autofree char *one = g_strndup(line, (size_t)(strchr(line, '\n') + 1 - line));
            if (lines_before(text, (size_t)(line - text)) > rows) {
                g_assert_true(mig_rows_writer_add(w, one, NULL));
            }
        }
        g_assert_true(mig_rows_writer_close(w, true, NULL));
        mig_rows_writer_free(w);
        g_autofree char *now = NULL;
        g_assert_true(g_file_get_contents(path, &now, NULL, NULL));
        g_assert_cmpstr(now, ==, text);
    }
    remove_spec(path);
}

static void test_damaged_rows(void)
{
    static const struct {
        const char *lines, *message;
    } rows[] = {
        { "{}\n", "1: expected the header of a sweep's rows (schema \"migbench-sweep-rows-1\")" },
        { "x\n", "1: expected a line of JSON; the file is damaged" },
        { "H{\"index\":3,\"status\":\"failed\"}\n",
          "2: the row's index is not one of the sweep's cells" },
        { "H{\"index\":1}\n", "2: expected a row with \"index\" and \"status\"" },
        { "H{\"index\":1,\n{}\n", "2: expected a line of JSON; the file is damaged" },
        { "H{\"end\":true,\"rows\":1}\n",
          "2: the end line gives another number of rows than there are" },
        { "H{\"end\":true,\"rows\":0}\n{}\n", "3: a line behind the end line" },
    };
    g_autofree char *first = mig_rows_header_line(&header);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        bool headed = rows[i].lines[0] == 'H';
        g_autofree char *text = g_strconcat(headed ? first : "", rows[i].lines + headed, NULL);
        g_autofree char *path = write_spec(text);
        g_assert_null(mig_rows_load(path, &error));
        g_assert_cmpstr(strstr(error->message, "s.json:") + strlen("s.json:"), ==, rows[i].message);
        remove_spec(path);
    }
}

/* The pool ----------------------------------------------------------------------------------- */

static bool fail_third(void *opaque, uint64_t index, const char *text, MigRowKind kind,
                       GError **error)
{
    unsigned *rows = opaque;
    (void)index, (void)text, (void)kind;
    if (++*rows < 3) {
        return true;
    }
    g_set_error(error, MIG_ROWS_ERROR, 0, "full");
    return false;
}

static void no_failure(void *opaque, uint64_t index, const char *why)
{
    (void)opaque, (void)index;
    g_error("%s", why);
}

static void test_pool_stops_at_an_error(void)
{
    g_autoptr(MigSweep) s =
        load(TOP ",\"replicates\":50,\"axes\":[" GRID_LIMIT "," GRID_POLL "]}", NULL);
    uint64_t cells[300];
    for (uint64_t i = 0; i < 300; i++) {
        cells[i] = i;
    }
    for (unsigned threads = 1; threads <= 4; threads++) {
        g_autoptr(GError) error = NULL;
        unsigned rows = 0;
        const MigSweepJob job = { .sweep = s,
                                  .build = "b",
                                  .cells = cells,
                                  .count = 300,
                                  .threads = threads,
                                  .row = fail_third,
                                  .failed = no_failure,
                                  .opaque = &rows };
        g_assert_false(mig_sweep_run(&job, &error));
        g_assert_cmpstr(error->message, ==, "full");
        g_assert_cmpuint(rows, ==, 3);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sweep/sample/latin-strata", test_latin_strata);
    g_test_add_func("/sweep/sample/streams-are-apart", test_streams_are_apart);
    g_test_add_func("/sweep/sample/random-is-inside", test_random_is_inside);
    g_test_add_func("/sweep/sample/choices-are-even", test_choices_are_even);
    g_test_add_func("/sweep/sample/log-scale", test_log_scale);
    g_test_add_func("/sweep/spec/errors", test_errors);
    g_test_add_func("/sweep/spec/bad-rows", test_bad_rows);
    g_test_add_func("/sweep/spec/paths", test_paths);
    g_test_add_func("/sweep/cell/order", test_cell_order);
    g_test_add_func("/sweep/cell/identity", test_cell_identity);
    g_test_add_func("/sweep/cell/golden", test_cell_golden);
    g_test_add_func("/sweep/cell/ranges", test_ranges_in_cells);
    g_test_add_func("/sweep/metrics/names", test_metric_names);
    g_test_add_func("/sweep/rows/cut-anywhere", test_cut_anywhere);
    g_test_add_func("/sweep/rows/damaged", test_damaged_rows);
    g_test_add_func("/sweep/pool/stops-at-an-error", test_pool_stops_at_an_error);
    return g_test_run();
}
