/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination says beside what it was recorded to say. Messages that the stream alone
 * determines (PONG in any order, SHUT, RESUME_ACK, SWITCHOVER_ACK, RECV_BITMAP with its block) must
 * come in the recorded order with the recorded values; requests of pages depend on the guest and
 * are counted.
 */
#ifndef MIG_SIM_RECORD_ANSWERS_H
#define MIG_SIM_RECORD_ANSWERS_H

#include <glib.h>

typedef struct MigExpected MigExpected;

/* For one return path. */
MigExpected *mig_expected_new(void);
void mig_expected_free(MigExpected *e); /* NULL is fine */

/* What was recorded, and what was said, each in order. False: see mig_expected_error(). */
gboolean mig_expected_recorded(MigExpected *e, const void *data, gsize n);
gboolean mig_expected_said(MigExpected *e, const void *data, gsize n);

/* Recorded messages that were not said so far. */
guint mig_expected_missing(const MigExpected *e);
/* "pong 1", for messages; free with g_free(). NULL: none is missing. */
char *mig_expected_next(const MigExpected *e);

/* The first message that was said and not recorded so far, NULL: there is none. */
const char *mig_expected_left(const MigExpected *e);

guint64 mig_expected_requests(const MigExpected *e, gboolean said); /* of pages */

/* "the return path: message 3: expected pong 2, found shut 1"; NULL: all is well. */
const char *mig_expected_error(const MigExpected *e);

#endif
