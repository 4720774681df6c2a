/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing recordings of several channels as sim/world/capture.h reads them: pcapng, uncompressed,
 * one interface per channel, times in nanoseconds.
 */
#ifndef MIG_SIM_WORLD_CAPTURE_WRITER_H
#define MIG_SIM_WORLD_CAPTURE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MIG_CAPTURE_PACKET (1u << 20) /* larger chunks are written as several packets */

/* Each returns false when writing failed (errno says why). Nothing is flushed. */
bool mig_capture_write_head(FILE *out);
/* Channels are numbered from 0 in the order in which they are written. */
bool mig_capture_write_channel(FILE *out, const char *name);
bool mig_capture_write_chunk(FILE *out, unsigned channel, uint64_t ns, const void *data, size_t n);

#endif
