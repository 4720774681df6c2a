/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event queue of the virtual world: ordered by (time, sequence), so that events of one instant
 * run in the order in which they were asked for. A binary heap; no thread, no clock of its own.
 */
#ifndef MIG_SIM_WORLD_EVENTS_H
#define MIG_SIM_WORLD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*MigEventFn)(void *opaque, int64_t at);

typedef struct MigEvent {
    int64_t at; /* ns */
    uint64_t sequence;
    MigEventFn fn;
    void *opaque;
} MigEvent;

typedef struct MigEvents {
    MigEvent *heap;
    size_t count, cap;
    uint64_t sequence;
} MigEvents;

void mig_events_clear(MigEvents *q);

/* Asks for fn(opaque, at). Returns the number by which it can be cancelled. */
uint64_t mig_events_add(MigEvents *q, int64_t at, MigEventFn fn, void *opaque);
bool mig_events_cancel(MigEvents *q, uint64_t sequence);

/* The time of the next event, MIG_FOREVER if there is none. */
int64_t mig_events_next(const MigEvents *q);

/* Takes the next event if it is due at |until|. The caller runs it. */
bool mig_events_take(MigEvents *q, int64_t until, MigEvent *event);

#endif
