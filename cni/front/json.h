/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict JSON checker that picks a few top-level members out of an object. No recursion, no allocation, no
 * assumption about the input: every byte is looked at once, depth is limited.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum json_kind {
	JSON_STRING,
	JSON_INTEGER, /* a number of digits only, below 2^31 */
};

enum json_state {
	JSON_ABSENT = 0,
	JSON_OK,
	JSON_WRONG_TYPE,
	JSON_TOO_LONG, /* string larger than its buffer, or with a NUL character */
};

/* A member to look for. The last one of equal names wins, as with Go's decoder. */
struct json_member {
	const char *name;
	enum json_kind kind;
	char *text; /* JSON_STRING: where the decoded, NUL-terminated text goes */
	size_t text_size;
	long integer;
	enum json_state state;
};

/*
 * Checks that input is exactly one JSON object and fills the members.
 * Returns NULL, or what is wrong; *offset is then where, in bytes from the start.
 */
const char *json_scan(const char *input, size_t length, struct json_member *members, size_t count, size_t *offset);

/* Writes text as a JSON string with quotes; bytes that are no UTF-8 become '?'. Returns the number of bytes needed. */
size_t json_quote(const char *text, char *out, size_t size);
