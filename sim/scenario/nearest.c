/* SPDX-License-Identifier: Apache-2.0 */
/* Edit distance (insert, delete, replace, swap of neighbours), see nearest.h. */
#include "sim/scenario/nearest.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAX_NAME 64

static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][MAX_NAME + 1];
    size_t n = MIN(strlen(a), MAX_NAME), m = MIN(strlen(b), MAX_NAME);
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *top = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned edit = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = MIN(edit, MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = MIN(row[j], top[j - 2] + 1);
            }
        }
    }
    return rows[n % 3][m];
}

/* "downtime" of "query-migrate.downtime". */
static bool is_end_of(const char *text, const char *path)
{
    size_t n = strlen(text), m = strlen(path);
    return n > 0 && m > n && path[m - n - 1] == '.' && strcmp(path + m - n, text) == 0;
}

const char *mig_nearest(const char *text, const char *const *names)
{
    const char *best = NULL;
    unsigned least = 0;
    for (; *names; names++) {
        if (is_end_of(text, *names)) {
            return *names;
        }
        unsigned edits = distance(text, *names), bound = (unsigned)strlen(*names) / 2;
        if (edits <= MAX(bound, 2u) && (!best || edits < least)) {
            best = *names;
            least = edits;
        }
    }
    return best;
}
