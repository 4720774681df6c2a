/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line, see progress.h. */
#include "sim/progress.h"

#include <stdio.h>
#include <unistd.h>

#define INTERVAL_US 100000

MigProgress mig_progress_begin(void)
{
    return (MigProgress){ .terminal = isatty(STDERR_FILENO) };
}

gboolean mig_progress_due(MigProgress *p)
{
    gint64 now = p->terminal ? g_get_monotonic_time() : 0;
    if (!p->terminal || now < p->next) {
        return FALSE;
    }
    p->next = now + INTERVAL_US;
    return TRUE;
}

void mig_progress_show(MigProgress *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
    p->shown = TRUE;
}

void mig_progress_end(MigProgress *p)
{
    if (p->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->shown = FALSE;
}
