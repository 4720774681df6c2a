/* SPDX-License-Identifier: Apache-2.0 */
/* Names of records, items, commands and return-path messages. */
#include "stream/record.h"

#include <string.h>

static const char *const record_names[MIG_REC_COUNT] = {
#define X(symbol, name) name,
    MIG_RECORDS(X)
#undef X
};

static const char *const command_names[] = {
#define X(symbol, number, name, length) [number] = name,
    MIG_COMMANDS(X)
#undef X
};

static const char *const rp_names[] = {
#define X(symbol, number, name, length) [number] = name,
    MIG_RP_MESSAGES(X)
#undef X
};

static const char *const colo_names[] = {
#define X(symbol, number, name) [number] = name,
    MIG_COLO_MESSAGES(X)
#undef X
};

static const char *const item_names[] = {
    [MIG_ITEM_START] = "start",
    [MIG_ITEM_PART] = "part",
    [MIG_ITEM_END] = "end",
    [MIG_ITEM_FULL] = "full",
};

#define LOOK_UP(table, i) ((size_t)(i) < sizeof(table) / sizeof(table[0]) ? table[i] : NULL)

const char *mig_record_name(MigRecordType type)
{
    const char *name = LOOK_UP(record_names, type);
    return name ? name : "unknown";
}

const char *mig_command_name(uint16_t number)
{
    return LOOK_UP(command_names, number);
}

const char *mig_rp_name(uint16_t type)
{
    return LOOK_UP(rp_names, type);
}

const char *mig_colo_name(uint32_t message)
{
    return LOOK_UP(colo_names, message);
}

const char *mig_item_name(MigItem kind)
{
    const char *name = LOOK_UP(item_names, kind);
    return name ? name : "unknown";
}

bool mig_str_equal(MigStr a, MigStr b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

MigStr mig_str(const char *text)
{
    return (MigStr){ .text = text, .len = text ? (uint32_t)strlen(text) : 0 };
}
