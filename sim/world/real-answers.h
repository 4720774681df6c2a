/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return path as a source hears it: bytes in, checked messages out. What a destination may not
 * say at this time is an error in words; sans-IO.
 */
#ifndef MIG_SIM_WORLD_REAL_ANSWERS_H
#define MIG_SIM_WORLD_REAL_ANSWERS_H

#include <glib.h>

#include "stream/decoder.h"

typedef struct MigAnswers MigAnswers;

MigAnswers *mig_answers_new(void);
void mig_answers_free(MigAnswers *a); /* NULL is fine */

/* The source has sent this ping; it has sent its END_OF_STREAM. */
void mig_answers_pinged(MigAnswers *a, uint32_t value);
void mig_answers_ended(MigAnswers *a);

/* Calls acknowledged() from inside mig_answers_feed() when SWITCHOVER_ACK comes. */
void mig_answers_on_ack(MigAnswers *a, void (*acknowledged)(void *opaque), void *opaque);

/* Bytes that came. False: see mig_answers_error(), now and for ever. */
bool mig_answers_feed(MigAnswers *a, const void *data, size_t n);
/* No more will come. False when that is too early. */
bool mig_answers_eof(MigAnswers *a);

/* SHUT was heard, or something was wrong: nothing more is of interest. */
bool mig_answers_done(const MigAnswers *a);

/* What was wrong, or NULL. */
const char *mig_answers_error(const MigAnswers *a);

/* The next message that was not taken yet. */
bool mig_answers_take(MigAnswers *a, MigRecord *message);

/* Messages that came. */
uint64_t mig_answers_count(const MigAnswers *a);

#endif
