/* SPDX-License-Identifier: Apache-2.0 */
/* Which channel is it? By its first bytes, and where those don't tell by the order of connections.
 */
#ifndef MIG_SIM_RECORD_CHANNEL_NAME_H
#define MIG_SIM_RECORD_CHANNEL_NAME_H

#include <glib.h>

#define MIG_CHANNEL_HEAD 25 /* bytes that tell everything: a multifd handshake up to its number */

/*
 * "main", "multifd3", "preempt", with ".2" and so on behind it for generations from 1 (connections
 * after breaks). |first|: no other connection of its generation came before it. NULL: |n| bytes of
 * its |head| are not enough, and it has not |ended|. Free with g_free().
 */
char *mig_channel_name(const guint8 *head, gsize n, gboolean first, guint generation,
                       gboolean ended);

/* The name of the other direction: "return", "preempt-return.2". Free with g_free(). */
char *mig_channel_return_name(const char *name);

#endif
