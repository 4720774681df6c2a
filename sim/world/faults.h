/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults of this process, caught (userfaultfd): a thread that touches a missing page of a
 * registered range stands still until somebody places the page.
 *
 *     thread --touches--> missing page     mig_faults_read(): address, thread
 *            <--goes on-- the page         mig_faults_copy() or mig_faults_zero(): whole, at once
 *
 * One thread owns a MigFaults; copy and zero any may call while no range comes or goes. Ranges are
 * memory of this process: anonymous or shared in pages of 4 KiB, or hugetlb in pages of 2 MiB or 1
 * GiB. Nobody may look at a missing page but those who can wait: the owner itself would wait for
 * itself.
 */
#ifndef MIG_SIM_WORLD_FAULTS_H
#define MIG_SIM_WORLD_FAULTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim/engine/memory.h"

typedef struct MigFaults MigFaults;

#define MIG_FAULTS_ERROR (g_quark_from_static_string("mig-faults-error"))

/* Whose faults are to be caught. */
typedef enum MigFaultsOf {
    MIG_FAULTS_OF_USERS,  /* of user code alone: any user may, from Linux 5.11 on */
    MIG_FAULTS_OF_KERNEL, /* and of system calls and KVM that touch a missing page: a privilege */
} MigFaultsOf;

/* NULL and *error, which says what to do about it. */
MigFaults *mig_faults_open(MigFaultsOf of, GError **error);
void mig_faults_free(MigFaults *f); /* unregisters everything; who waits then gets zeros */

/* Readable when there is a fault. */
int mig_faults_fd(const MigFaults *f);
/* Can this kernel say whose fault it is? */
bool mig_faults_has_threads(const MigFaults *f);

/* |at| and |length| are multiples of |page|, the size of the mapping's pages. */
bool mig_faults_register(MigFaults *f, void *at, size_t length, size_t page, GError **error);
bool mig_faults_unregister(MigFaults *f, void *at, GError **error);

typedef struct MigPageFault {
    void *at;     /* the page's first byte */
    pid_t thread; /* 0: unknown */
    bool write;
} MigPageFault;

/* The faults since the last call, at most |max|, without waiting; -1 and *error. */
int mig_faults_read(MigFaults *f, MigPageFault *faults, int max, GError **error);

/*
 * Makes the page at |at| of a registered range out of |from|, or of zeros, and wakes who waits.
 * MIG_PLACE_FAILED: *error says why.
 */
MigPlace mig_faults_copy(MigFaults *f, void *at, const void *from, GError **error);
MigPlace mig_faults_zero(MigFaults *f, void *at, GError **error);

/* Lets the threads that wait for the page look again. */
bool mig_faults_wake(MigFaults *f, void *at, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigFaults, mig_faults_free)

#endif
