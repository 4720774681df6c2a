/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmigstream: the wire format of QEMU's live migration, from QEMU 1.4 to 11.1.
 *
 *     bytes --decoder--> records --encoder--> the same bytes
 *
 * This header includes all others; each of them can be included alone ("stream/decoder.h") and says
 * what the things in it are, in which units, who owns them and what can go wrong. The library does
 * no I/O, starts no threads, reads no clock and keeps no state but what its objects hold. It needs
 * zlib and zstd. What to write in a program:
 *
 *     #include <libmigstream.h>                  cc $(pkg-config --cflags --libs libmigstream)
 *
 * The parts
 *
 *     stream/record.h        what a stream can say, as one tagged union
 *     stream/format.h        the grammar and the constants behind it
 *     stream/decoder.h       bytes to records, for all channels of a migration
 *     stream/encoder.h       records to bytes
 *     stream/status.h        the decoder's answers, and diagnoses of bad bytes
 *     stream/limits.h        the bounds on everything that a stranger sends
 *     stream/xbzrle.h        deltas of pages, and stream/xbzrle-cache.h the cache that they need
 *     stream/zero.h          is this page zero?
 *     stream/multifd-codec.h zlib and zstd payloads of multifd packets
 *     stream/page-codec.h    zlib pages of COMPRESS_PAGE records
 *     stream/vmdesc.h        the description of device state that QEMU sends, as a tree
 *     stream/vmdesc-walk.h   bytes of a device as named values, by that description
 *     stream/vmdesc-write.h  writing such a description
 *     stream/vmstate.h       device state by descriptor tables: save and load
 *     stream/vmstate-devices.h  the tables of timer, globalstate, cpu_common, configuration
 *     stream/vmstate-x86.h   the tables of an x86 vCPU: cpu, apic, kvm-tpr-opt
 *     stream/version.h       which QEMU release does what, as data
 *
 * Decoding
 *
 *     MigDecoder *d = mig_decoder_new(NULL);
 *     MigRecord r;
 *     for (;;) {
 *         MigStatus s = mig_decoder_next(d, &r);
 *         if (s == MIG_STATUS_RECORD && r.type == MIG_REC_RAM_PAGE)
 *             mig_decoder_payload_into(d, page);       or don't, then it is passed over
 *         else if (s == MIG_STATUS_PAYLOAD)
 *             ...                                      page is there
 *         else if (s == MIG_STATUS_MORE)
 *             n > 0 ? mig_decoder_feed(d, data, n) : mig_decoder_feed_eof(d);
 *         else if (s == MIG_STATUS_END || s == MIG_STATUS_BAD)
 *             break;
 *     }
 *     mig_decoder_free(d);
 *
 * It can be fed at any split, one byte at a time or a whole file at once, and gives the same
 * records. Contents of pages and devices never travel inside a record: r.payload says how many
 * bytes of them follow, and the caller has them copied to where they belong or not at all. A
 * device's state has no length on the wire; stream/decoder.h says how its end is found and what a
 * caller who can look ahead does about it.
 *
 * Encoding
 *
 *     uint8_t out[MIG_ENCODED_MAX];
 *     size_t n = mig_record_encode(&r, out, sizeof(out));
 *
 * A pure function of the fields of one record; the caller writes its payload behind it, and then
 * mig_record_encode_tail(), which is empty for nearly every record. For every valid stream the
 * result is the bytes that were decoded. Whoever makes records of his own starts from a zeroed
 * MigRecord; nothing is checked that the format can express, so that damaged streams can be made.
 *
 * Ownership
 *
 * mig_..._new() gives an object that mig_..._free() takes back; free takes NULL. Bytes that are fed
 * are borrowed until the decoder answers MIG_STATUS_MORE (or END or BAD). Strings in a decoded
 * record are the decoder's and last until its next call; names of blocks and sections last as long
 * as the decoder. Constant tables and names are static.
 *
 * Errors
 *
 * Bad bytes are no crash and no silence: MIG_STATUS_BAD, and mig_decoder_diagnosis() tells what,
 * where (offset and path), what was expected and what was found. Every length is checked against
 * stream/limits.h before it is used, so memory does not grow with what a stream claims. A function
 * that needs memory and finds none returns NULL or false. A wrong call (a NULL object, a payload
 * asked for where there is none) is a mistake in the program and undefined.
 *
 * Threads
 *
 * An object belongs to one thread at a time; different objects are independent of each other, apart
 * from a child decoder, which reads its main decoder: use both from one thread, or let the main one
 * rest. Functions without an object are safe everywhere.
 *
 * Versions
 *
 * The library's version is a.b.c: b changes when a program has to be compiled again (as long as a
 * is 0; then a does), and so does the number in the name of the shared library. New enumerators may
 * be added at the end of a list: have a default branch. mig_stream_version() tells what is running.
 *
 * C++ sees all of it as extern "C"; the macros for descriptor tables in stream/vmstate.h are C
 * only.
 */
#ifndef LIBMIGSTREAM_H
#define LIBMIGSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "stream/decoder.h"
#include "stream/encoder.h"
#include "stream/format.h"
#include "stream/limits.h"
#include "stream/multifd-codec.h"
#include "stream/page-codec.h"
#include "stream/record.h"
#include "stream/status.h"
#include "stream/version.h"
#include "stream/vmdesc-walk.h"
#include "stream/vmdesc-write.h"
#include "stream/vmdesc.h"
#include "stream/vmstate-devices.h"
#include "stream/vmstate-x86.h"
#include "stream/vmstate.h"
#include "stream/xbzrle-cache.h"
#include "stream/xbzrle.h"
#include "stream/zero.h"

/* "0.1.0": the version of the library that the program runs with. */
const char *mig_stream_version(void);

/* sizeof(MigRecord) in it, for languages that allocate one without reading this header. */
size_t mig_record_size(void);

#ifdef __cplusplus
}
#endif

#endif
