/* SPDX-License-Identifier: Apache-2.0 */
/* Commands (item 0x08), as loadvm_process_command() checks them. */
#include <inttypes.h>
#include <stdio.h>

#include "stream/decoder-internal.h"

static const int lengths[] = {
#define X(symbol, number, name, length) [number] = length,
    MIG_COMMANDS(X)
#undef X
};
#define COMMAND_COUNT (sizeof(lengths) / sizeof(lengths[0]))

#define PAYLOAD_AT 5u /* type, number, length */

static MigStep bad_length(MigDecoder *d, uint16_t len, const char *expected)
{
    char found[32];
    snprintf(found, sizeof(found), "%u bytes of payload", len);
    return mig_decoder_fail(d, 3, MIG_FAULT_COMMAND_LENGTH, found, "%s", expected);
}

static MigStep parse_advise(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd)
{
    if (cmd->length != 0 && cmd->length != 16) {
        return bad_length(d, cmd->length, "16 bytes, or 0 without postcopy-ram");
    }
    if (cmd->length == 16) {
        cmd->advise.page_sizes = mig_take_be64(c);
        cmd->advise.target_page_size = mig_take_be64(c);
    }
    if (!c->came_short) {
        d->shared->advised_sizes = cmd->length ? cmd->advise.page_sizes : 0;
    }
    return MIG_STEP_RECORD;
}

static MigStep bad_discard(MigDecoder *d, size_t at, const char *found, const char *expected)
{
    return mig_decoder_fail(d, at, MIG_FAULT_COMMAND_PAYLOAD, found, "%s", expected);
}

static MigStep parse_ranges(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd, size_t bytes)
{
    cmd->discard.count = (uint32_t)(bytes / 16);
    uint64_t *words = mig_decoder_words(d, 2u * cmd->discard.count);
    MigRange *ranges = (MigRange *)words;

    if (!words) {
        return bad_discard(d, PAYLOAD_AT, "memory exhausted", "memory for the ranges");
    }
    for (uint32_t i = 0; i < cmd->discard.count; i++) {
        ranges[i].start = mig_take_be64(c);
        ranges[i].length = mig_take_be64(c);
    }
    cmd->discard.ranges = ranges;
    return MIG_STEP_RECORD;
}

static MigStep parse_discard(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd)
{
    char found[48];

    if (cmd->length < 20) {
        return bad_length(d, cmd->length, "20 bytes or more");
    }
    cmd->discard.version = mig_take_u8(c);
    cmd->discard.name = mig_take_cstr(c);
    cmd->discard.nul = mig_take_u8(c);
    if (c->came_short) {
        return MIG_STEP_RECORD;
    }
    if (cmd->discard.version != 0) {
        snprintf(found, sizeof(found), "%u", cmd->discard.version);
        return bad_discard(d, PAYLOAD_AT, found, "discard version 0");
    }
    if (cmd->discard.nul != 0) {
        snprintf(found, sizeof(found), "%02x", cmd->discard.nul);
        return bad_discard(d, c->at - 1, found, "00 behind the block name");
    }
    size_t used = c->at - PAYLOAD_AT;
    if (used >= cmd->length || (cmd->length - used) % 16 != 0) {
        snprintf(found, sizeof(found), "%zd bytes", (ssize_t)cmd->length - (ssize_t)used);
        return bad_discard(d, c->at, found, "one or more ranges of 16 bytes");
    }
    cmd->discard.name = mig_decoder_keep(d, cmd->discard.name);
    return parse_ranges(d, c, cmd, cmd->length - used);
}

static MigStep parse_recv_bitmap(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd)
{
    if (cmd->length < 1) {
        return bad_length(d, cmd->length, "a counted block name");
    }
    cmd->bitmap_name = mig_take_cstr(c);
    if (c->came_short) {
        return MIG_STEP_RECORD;
    }
    if (cmd->length != cmd->bitmap_name.len + 1) {
        return bad_length(d, cmd->length, "exactly the counted block name");
    }
    cmd->bitmap_name = mig_decoder_keep(d, cmd->bitmap_name);
    return MIG_STEP_RECORD;
}

static MigStep parse_package(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd)
{
    cmd->package_length = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_RECORD;
    }
    if (d->depth) {
        return mig_decoder_fail(d, 0, MIG_FAULT_PACKAGE_NESTED, "a package",
                                "no package inside a package");
    }
    d->package_opens = true;
    d->package_length = cmd->package_length;
    return MIG_STEP_RECORD;
}

static MigStep parse_payload(MigDecoder *d, MigCursor *c, MigRecordCommand *cmd)
{
    switch (cmd->number) {
    case MIG_CMD_PING:
        cmd->ping = mig_take_be32(c);
        return MIG_STEP_RECORD;
    case MIG_CMD_POSTCOPY_ADVISE:
        return parse_advise(d, c, cmd);
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        return parse_discard(d, c, cmd);
    case MIG_CMD_PACKAGED:
        return parse_package(d, c, cmd);
    case MIG_CMD_RECV_BITMAP:
        return parse_recv_bitmap(d, c, cmd);
    default:
        return MIG_STEP_RECORD;
    }
}

static MigStep check_head(MigDecoder *d, const MigRecordCommand *cmd)
{
    char text[48];

    if (cmd->number == 0 || cmd->number >= COMMAND_COUNT) {
        snprintf(text, sizeof(text), "%u", cmd->number);
        return mig_decoder_fail(d, 1, MIG_FAULT_COMMAND_NUMBER, text, "a command from 1 to %zu",
                                COMMAND_COUNT - 1);
    }
    if (lengths[cmd->number] >= 0 && lengths[cmd->number] != cmd->length) {
        snprintf(text, sizeof(text), "%d bytes of payload for %s", lengths[cmd->number],
                 mig_command_name(cmd->number));
        return bad_length(d, cmd->length, text);
    }
    return MIG_STEP_RECORD;
}

MigStep mig_parse_command(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordCommand cmd = { 0 };

    mig_decoder_label(d, "command", d->commands);
    mig_take_u8(c);
    cmd.number = mig_take_be16(c);
    cmd.length = mig_take_be16(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (check_head(d, &cmd) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    /* Nothing of a payload is looked at before all of it is there. */
    if (c->n - c->at < cmd.length) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    MigCursor payload = { .data = c->data, .n = c->at + cmd.length, .at = c->at };
    if (parse_payload(d, &payload, &cmd) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    if (payload.came_short) {
        return bad_discard(d, PAYLOAD_AT, "a name longer than the payload",
                           "a payload that holds what it counts");
    }
    c->at = payload.at;
    d->commands++;
    d->shared->colo |= cmd.number == MIG_CMD_ENABLE_COLO;
    *r = (MigRecord){ .type = MIG_REC_COMMAND, .command = cmd };
    return MIG_STEP_RECORD;
}
