/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory image in a sparse file: pages are read, written, zeroed. Zero pages are holes.
 */
#ifndef MIG_CONFORMANCE_IMAGE_H
#define MIG_CONFORMANCE_IMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All return false with *error (GIOErrorEnum) when the file can't be read or written. */

/* |n| bytes at |offset|; zeros where nothing was written. */
bool mig_image_read(int fd, uint64_t offset, uint8_t *data, size_t n, GError **error);
/* A page of zeros becomes a hole; where holes can't be made, zeros. */
bool mig_image_write(int fd, uint64_t offset, const uint8_t *data, size_t n, GError **error);
bool mig_image_zero(int fd, uint64_t offset, uint64_t n, GError **error);
bool mig_image_resize(int fd, uint64_t length, GError **error);

#endif
