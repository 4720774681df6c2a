/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest of a real migration is (--backend): the synthetic one, which the engine's own
 * thread follows, or one that really runs. The latter is this table of functions.
 *
 *     source: memory, run, throttle, fill --- while it migrates; save: the devices' sections
 *     destination: memory; load for each device's section; loaded: all of them take effect; run
 */
#ifndef MIG_SIM_LIVE_BACKEND_H
#define MIG_SIM_LIVE_BACKEND_H

#include <json-c/json.h>

#include "sim/guest/buffer.h"
#include "sim/guest/dirty-rate.h"
#include "sim/scenario/scenario.h"

typedef struct MigBackend MigBackend;

typedef struct MigBackendOps {
    const char *name; /* of --backend */
    void (*free)(MigBackend *b);
    MigMemory *(*memory)(MigBackend *b);
    /* The same memory as a buffer, for postcopy; the caller's, not to outlive the backend. */
    MigBuffer *(*buffer)(MigBackend *b);
    void (*run)(MigBackend *b, bool running);
    /* It is to stop, without waiting for it: it may be waiting for the caller. */
    void (*ask_stop)(MigBackend *b);
    void (*throttle)(MigBackend *b, unsigned percent);
    void (*fill)(MigBackend *b, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte);
    MigGuestStats (*stats)(MigBackend *b);
    /* The vCPU that runs in the thread with this number; UINT32_MAX: none of them. */
    uint32_t (*vcpu_of)(MigBackend *b, pid_t thread);
    /* calc-dirty-rate begins; see dirty-rate.h for the rest. */
    MigDirtyRate *(*measure)(MigBackend *b, const MigDirtyRateConfig *config);
    /* What a dirty limit needs: see kvm.h. */
    bool (*has_rings)(MigBackend *b);
    void (*watch_rings)(MigBackend *b, bool on);
    void (*take_rings)(MigBackend *b, uint64_t *noted);
    void (*sleep_when_full)(MigBackend *b, uint32_t vcpu, int64_t ns);
    /* Appends all devices' states, of a guest that stands still, at |now| ns. */
    bool (*save)(MigBackend *b, const MigEra *era, int64_t now, MigDevices *devices,
                 GError **error);
    /* Keeps a device's state that has come. */
    bool (*load)(MigBackend *b, const char *idstr, uint32_t instance, uint32_t version,
                 const uint8_t *body, size_t n, GError **error);
    /* The migration has completed: the states take effect. The guest still stands. */
    bool (*loaded)(MigBackend *b, GError **error);
    /*
     * What there is to say of the guest, for a result, and whether all is well with it. Of a guest
     * that stands still.
     */
    json_object *(*report)(MigBackend *b, bool *fine);
} MigBackendOps;

/* Implementations put this first. */
struct MigBackend {
    const MigBackendOps *ops;
};

/*
 * The backend called |name|: NULL without *error if that is the synthetic guest, NULL and *error if
 * there is no such backend or it can't be had here (what to do is said). |incoming|: its contents
 * come with a migration; else it runs as soon as it is there, if the scenario's run-state says so.
 */
MigBackend *mig_backend_new(const char *name, const MigScenario *s, bool incoming, GError **error);
void mig_backend_free(MigBackend *b); /* NULL is fine */

/* Is there a backend of that name? */
bool mig_backend_exists(const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigBackend, mig_backend_free)

#endif
