/* SPDX-License-Identifier: Apache-2.0 */
/* What a block held when its pages were sent for the first time, from a recorded stream. */
#ifndef MIG_SIM_SCENARIO_TRACE_IMAGE_H
#define MIG_SIM_SCENARIO_TRACE_IMAGE_H

#include <glib.h>

#define MIG_TRACE_IMAGE_MAX (1ull << 30) /* bytes of a block */

/*
 * The bytes of |block| in the stream |path| (anything that mig_input_open() opens), each page as it
 * was sent first; pages that were never sent are zero. NULL and *error when the stream is bad or
 * has no such block, or pages in a form other than zero and normal. Free with g_bytes_unref().
 */
GBytes *mig_trace_image(const char *path, const char *block, GError **error);

#endif
