/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command of migbench is. Each area exports one table; migbench.c walks all of them.
 *
 *     const MigCommandEntry mig_sim_commands[]          sim/simulate/simulate.c's area
 *     const MigCommandEntry mig_conformance_commands[]  conformance/
 */
#ifndef MIG_SIM_COMMAND_H
#define MIG_SIM_COMMAND_H

/* Exit status of every command. Where several apply, the largest one is returned. */
enum {
    MIG_EXIT_OK = 0,          /* fine */
    MIG_EXIT_FINDING = 1,     /* nonconformant, differs, migration failed or not finished */
    MIG_EXIT_USAGE = 2,       /* bad command line or scenario */
    MIG_EXIT_INCOMPLETE = 3,  /* something applicable did not run */
    MIG_EXIT_ENVIRONMENT = 4, /* file, socket, KVM, or an internal error */
};

typedef struct MigCommandEntry {
    const char *name;    /* "sim"; NULL ends a table */
    const char *summary; /* one line for migbench --help, without a full stop */
    /*
     * argv[0] is "migbench NAME" (for messages), argv[1..argc-1] the arguments; argv[argc] is NULL.
     * Handles --help itself (a GOptionContext, strict). Returns one of MIG_EXIT_*.
     */
    int (*run)(int argc, char **argv);
} MigCommandEntry;

extern const MigCommandEntry mig_sim_commands[];
extern const MigCommandEntry mig_conformance_commands[];

#endif
