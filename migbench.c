/* SPDX-License-Identifier: Apache-2.0 */
/* The front door: finds the command in the tables of the folders and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/command.h"
#include "sim/scenario/nearest.h"
#include "sim/simulate/result.h"

static const MigCommandEntry *const tables[] = { mig_sim_commands, mig_conformance_commands };

static const MigCommandEntry *find(const char *name)
{
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const MigCommandEntry *c = tables[t]; c->name; c++) {
            if (strcmp(c->name, name) == 0) {
                return c;
            }
        }
    }
    return NULL;
}

static void usage(FILE *to)
{
    fputs("usage: migbench COMMAND [ARGUMENTS]\n\n"
          "A test bench for QEMU live migration.\n\nCommands:\n",
          to);
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const MigCommandEntry *c = tables[t]; c->name; c++) {
            fprintf(to, "  %-10s %s\n", c->name, c->summary);
        }
    }
    fputs("\n  migbench COMMAND --help     what a command takes\n"
          "  migbench --version          the version\n\n"
          "Exit status: 0 fine; 1 a finding; 2 usage or bad scenario; 3 incomplete;\n"
          "4 environment or internal error.\n",
          to);
}

static const char *nearest_command(const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const MigCommandEntry *c = tables[t]; c->name; c++) {
            g_ptr_array_add(names, (char *)c->name);
        }
    }
    g_ptr_array_add(names, NULL);
    return mig_nearest(name, (const char *const *)names->pdata);
}

static int unknown(const char *name)
{
    const char *near = nearest_command(name);
    fprintf(stderr, "migbench: there is no command '%s'", name);
    if (near) {
        fprintf(stderr, "; did you mean '%s'?\n", near);
    } else {
        fputs("; migbench --help lists them\n", stderr);
    }
    return MIG_EXIT_USAGE;
}

/*
 * A file must not become number 1 or 2 because nobody had these open: messages would go there. What
 * stands there instead can't be used, so who needs it is told.
 */
static void occupy_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

/* Where nothing is said about it (LANG in a container), names and values are UTF-8 all the same. */
static void set_characters(void)
{
    setlocale(LC_CTYPE, "");
    if (!g_get_charset(NULL)) {
        setlocale(LC_CTYPE, "C.UTF-8");
    }
}

/* What was printed is a result, too: |status|, or that it went nowhere. */
static int end(int status)
{
    errno = 0;
    if (status < MIG_EXIT_ENVIRONMENT && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "%s: cannot write standard output: %s\n", g_get_prgname(),
                errno ? g_strerror(errno) : "not all of it");
        return MIG_EXIT_ENVIRONMENT;
    }
    return status;
}

int main(int argc, char **argv)
{
    occupy_standard();
    set_characters();
    g_set_prgname("migbench");
    if (argc < 2) {
        usage(stderr);
        return MIG_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return end(MIG_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("migbench %s\n", mig_program_version());
        return end(MIG_EXIT_OK);
    }
    const MigCommandEntry *command = find(argv[1]);
    if (!command) {
        return unknown(argv[1]);
    }
    g_autofree char *name = g_strconcat("migbench ", command->name, NULL);
    g_set_prgname(name);
    argv[1] = name;
    return end(command->run(argc - 1, argv + 1));
}
