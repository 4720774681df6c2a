/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON scanner. A library parser would build a tree many times the size of its text before
 * anybody could object; this one lets the reader object at once.
 */
#include "stream/json-scan.h"

#include <stdio.h>
#include <string.h>

bool mig_json_fail(MigJsonScan *scan, const char *expected)
{
    if (!scan->failed && scan->why) {
        size_t left = scan->n - scan->at;
        int shown = (int)(left < 24 ? left : 24);

        *scan->why = (MigDiagnosis){ .fault = scan->fault, .offset = scan->at };
        snprintf(scan->why->path, sizeof(scan->why->path), "%s", scan->path);
        snprintf(scan->why->expected, sizeof(scan->why->expected), "%s", expected);
        if (left == 0) {
            snprintf(scan->why->found, sizeof(scan->why->found), "end of text");
        } else {
            snprintf(scan->why->found, sizeof(scan->why->found), "%.*s", shown,
                     scan->text + scan->at);
        }
    }
    scan->failed = true;
    return false;
}

size_t mig_json_enter(MigJsonScan *scan, const char *name, long index)
{
    size_t mark = scan->path_length, room = sizeof(scan->path) - mark;
    int length;

    if (index < 0) {
        length = snprintf(scan->path + mark, room, "%s%s", mark ? "/" : "", name);
    } else {
        length = snprintf(scan->path + mark, room, "%s%s[%ld]", mark ? "/" : "", name, index);
    }
    scan->path_length = (size_t)length < room ? mark + (size_t)length : sizeof(scan->path) - 1;
    return mark;
}

void mig_json_leave(MigJsonScan *scan, size_t mark)
{
    scan->path_length = mark;
    scan->path[mark] = 0;
}

char mig_json_peek(MigJsonScan *scan)
{
    while (scan->at < scan->n && strchr(" \t\r\n", scan->text[scan->at]) && scan->text[scan->at]) {
        scan->at++;
    }
    return scan->at < scan->n ? scan->text[scan->at] : 0;
}

bool mig_json_expect(MigJsonScan *scan, char c)
{
    char wanted[] = { '\'', c, '\'', 0 };

    if (scan->failed || mig_json_peek(scan) != c) {
        return mig_json_fail(scan, wanted);
    }
    scan->at++;
    return true;
}

bool mig_json_more(MigJsonScan *scan, char close, uint32_t *members)
{
    if (scan->failed) {
        return false;
    }
    if (mig_json_peek(scan) == close) {
        scan->at++;
        return false;
    }
    if (*members > 0 && !mig_json_expect(scan, ',')) {
        return false;
    }
    (*members)++;
    return true;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found;

    if (c >= 'A' && c <= 'F') {
        c = (char)(c - 'A' + 'a');
    }
    found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Four hexadecimal digits at the current place; -1 if they are not there. */
static long hex4(MigJsonScan *scan)
{
    long value = 0;

    if (scan->n - scan->at < 4) {
        return -1;
    }
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex_digit(scan->text[scan->at + i]);

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    scan->at += 4;
    return value;
}

static size_t put_utf8(char *out, long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* What follows \u: one code unit, or two that make a pair. */
static long unicode_escape(MigJsonScan *scan)
{
    long code = hex4(scan), low;

    if (code < 0xd800 || code > 0xdfff) {
        return code;
    }
    if (code > 0xdbff || scan->n - scan->at < 6 || memcmp(scan->text + scan->at, "\\u", 2)) {
        return -1;
    }
    scan->at += 2;
    low = hex4(scan);
    if (low < 0xdc00 || low > 0xdfff) {
        return -1;
    }
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

/* The character behind a backslash; -1 if it is none, or NUL. */
static long escape(MigJsonScan *scan)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = scan->at < scan->n ? scan->text[scan->at++] : 0;
    const char *found = c ? strchr(from, c) : NULL;
    long code = found ? to[found - from] : c == 'u' ? unicode_escape(scan) : -1;

    return code > 0 ? code : -1;
}

bool mig_json_string(MigJsonScan *scan, char out[MIG_JSON_STRING])
{
    size_t length = 0;

    if (!mig_json_expect(scan, '"')) {
        return false;
    }
    while (scan->at < scan->n && scan->text[scan->at] != '"') {
        char c = scan->text[scan->at];
        long code;

        if ((unsigned char)c < 0x20) {
            return mig_json_fail(scan, "no control character in a string");
        }
        scan->at++;
        code = c == '\\' ? escape(scan) : (unsigned char)c;
        if (code < 0) {
            return mig_json_fail(scan, "an escape sequence");
        }
        if (c == '\\') {
            length += put_utf8(out + length, code);
        } else {
            out[length++] = c;
        }
        if (length > MIG_JSON_STRING - 5) {
            return mig_json_fail(scan, "a string of at most 255 bytes");
        }
    }
    out[length] = 0;
    return mig_json_expect(scan, '"');
}

bool mig_json_key(MigJsonScan *scan, char out[MIG_JSON_STRING])
{
    return mig_json_string(scan, out) && mig_json_expect(scan, ':');
}

static bool is_digit(const MigJsonScan *scan)
{
    return scan->at < scan->n && scan->text[scan->at] >= '0' && scan->text[scan->at] <= '9';
}

bool mig_json_integer(MigJsonScan *scan, int64_t min, int64_t max, int64_t *out)
{
    bool negative = mig_json_peek(scan) == '-';
    size_t start = scan->at;
    uint64_t value = 0, most = negative ? 1ull << 63 : INT64_MAX;
    char wanted[80];

    scan->at += negative;
    snprintf(wanted, sizeof(wanted), "an integer from %lld to %lld", (long long)min,
             (long long)max);
    if (!is_digit(scan)) {
        scan->at = start;
        return mig_json_fail(scan, wanted);
    }
    for (; is_digit(scan); scan->at++) {
        uint64_t digit = (uint64_t)(scan->text[scan->at] - '0');

        if (value > (most - digit) / 10) {
            scan->at = start;
            return mig_json_fail(scan, wanted);
        }
        value = value * 10 + digit;
    }
    *out = (int64_t)(negative ? 0 - value : value);
    if (*out < min || *out > max ||
        (scan->at < scan->n && strchr(".eE", scan->text[scan->at]) && scan->text[scan->at])) {
        scan->at = start;
        return mig_json_fail(scan, wanted);
    }
    return true;
}

/* Numbers with fractions, true, false, null: whatever stands there up to the next separator. */
static bool skip_word(MigJsonScan *scan)
{
    size_t start = scan->at;

    while (scan->at < scan->n && scan->text[scan->at] &&
           strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", scan->text[scan->at])) {
        scan->at++;
    }
    return scan->at > start || mig_json_fail(scan, "a value");
}

static bool skip_string(MigJsonScan *scan)
{
    scan->at++;
    while (scan->at < scan->n && scan->text[scan->at] != '"') {
        scan->at += scan->text[scan->at] == '\\' && scan->n - scan->at > 1 ? 2 : 1;
    }
    return mig_json_expect(scan, '"');
}

bool mig_json_skip(MigJsonScan *scan)
{
    char open[MIG_JSON_DEPTH];
    unsigned depth = 0;

    do {
        char c = mig_json_peek(scan);

        if (scan->failed) {
            return false;
        }
        if (c == '{' || c == '[') {
            if (depth == MIG_JSON_DEPTH) {
                return mig_json_fail(scan, "fewer brackets inside each other");
            }
            open[depth++] = c;
            scan->at++;
        } else if (depth && c == (open[depth - 1] == '{' ? '}' : ']')) {
            depth--;
            scan->at++;
        } else if (depth && (c == ',' || c == ':')) {
            scan->at++; /* what is skipped is not checked for order */
        } else if (c == '"') {
            skip_string(scan);
        } else {
            skip_word(scan);
        }
    } while (depth && !scan->failed);
    return !scan->failed;
}
