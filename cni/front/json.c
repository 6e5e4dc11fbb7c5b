/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"
#include <string.h>

enum { MAX_DEPTH = 128 };

struct scanner {
	const unsigned char *in;
	size_t length;
	size_t at;
	const char *error;
};

/* Where decoded string bytes go; out may be NULL to only check. */
struct sink {
	char *out;
	size_t size;
	size_t used;
	bool bad; /* did not fit, or had a NUL */
};

static bool fail(struct scanner *s, const char *error)
{
	if (!s->error)
		s->error = error;
	return false;
}

static int peek(const struct scanner *s)
{
	return s->at < s->length ? s->in[s->at] : -1;
}

static void skip_space(struct scanner *s)
{
	int c;

	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
}

static void put(struct sink *sink, unsigned int byte)
{
	if (!sink->out)
		return;
	if (byte == 0 || sink->used + 1 >= sink->size) {
		sink->bad = true;
		return;
	}
	sink->out[sink->used++] = (char)byte;
}

static void put_utf8(struct sink *sink, unsigned int code)
{
	if (code < 0x80) {
		put(sink, code);
	} else if (code < 0x800) {
		put(sink, 0xc0 | code >> 6);
		put(sink, 0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		put(sink, 0xe0 | code >> 12);
		put(sink, 0x80 | (code >> 6 & 0x3f));
		put(sink, 0x80 | (code & 0x3f));
	} else {
		put(sink, 0xf0 | code >> 18);
		put(sink, 0x80 | (code >> 12 & 0x3f));
		put(sink, 0x80 | (code >> 6 & 0x3f));
		put(sink, 0x80 | (code & 0x3f));
	}
}

static bool hex4(struct scanner *s, unsigned int *value)
{
	*value = 0;
	for (int i = 0; i < 4; i++) {
		int c = peek(s);

		if (c >= '0' && c <= '9')
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
			return fail(s, "bad \\u escape");
		*value = *value << 4 | (unsigned int)c;
		s->at++;
	}
	return true;
}

static bool scan_unicode(struct scanner *s, struct sink *sink)
{
	unsigned int code, low;

	if (!hex4(s, &code))
		return false;
	if (code >= 0xd800 && code < 0xdc00 && s->length - s->at >= 6 && s->in[s->at] == '\\' &&
	    s->in[s->at + 1] == 'u') {
		s->at += 2;
		if (!hex4(s, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000) {
			put_utf8(sink, 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00)));
			return true;
		}
		put_utf8(sink, 0xfffd);
		code = low;
	}
	put_utf8(sink, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
	return true;
}

static bool scan_escape(struct scanner *s, struct sink *sink)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	int c = peek(s);
	const char *found = c > 0 ? strchr(from, c) : NULL;

	if (c == 'u') {
		s->at++;
		return scan_unicode(s, sink);
	}
	if (!found)
		return fail(s, "bad escape in string");
	s->at++;
	put(sink, (unsigned char)to[found - from]);
	return true;
}

static bool scan_string(struct scanner *s, struct sink *sink)
{
	if (peek(s) != '"')
		return fail(s, "expected a string");
	s->at++;
	for (;;) {
		int c = peek(s);

		if (c < 0)
			return fail(s, "string without end");
		s->at++;
		if (c == '"')
			break;
		if (c < 0x20)
			return fail(s, "control character in string");
		if (c == '\\') {
			if (!scan_escape(s, sink))
				return false;
		} else {
			put(sink, (unsigned int)c);
		}
	}
	if (sink->out)
		sink->out[sink->used] = '\0';
	return true;
}

static size_t digits(struct scanner *s, long *value)
{
	size_t start = s->at;
	int c;

	while ((c = peek(s)) >= '0' && c <= '9') {
		if (*value >= 0)
			*value = *value > 214748363 ? -1 : *value * 10 + (c - '0');
		s->at++;
	}
	return s->at - start;
}

/* *integer becomes the value, or -1 when the number is no integer of at most 31 bits */
static bool scan_number(struct scanner *s, long *integer)
{
	long value = 0, ignored = -1;
	bool plain = true;

	if (peek(s) == '-') {
		plain = false;
		s->at++;
	}
	if (peek(s) == '0') {
		s->at++;
	} else if (!digits(s, &value)) {
		return fail(s, "bad number");
	}
	if (peek(s) == '.') {
		plain = false;
		s->at++;
		if (!digits(s, &ignored))
			return fail(s, "bad number");
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		plain = false;
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (!digits(s, &ignored))
			return fail(s, "bad number");
	}
	*integer = plain ? value : -1;
	return true;
}

static bool scan_word(struct scanner *s, const char *word)
{
	size_t n = strlen(word);

	if (s->length - s->at < n || memcmp(s->in + s->at, word, n) != 0)
		return fail(s, "unexpected character");
	s->at += n;
	return true;
}

/* A value that is neither object nor array, into the member if there is one. */
static bool scan_scalar(struct scanner *s, struct json_member *member)
{
	int c = peek(s);
	struct sink sink = {0};
	long integer;

	if (c == '"') {
		if (member && member->kind == JSON_STRING) {
			sink.out = member->text;
			sink.size = member->text_size;
		}
		if (!scan_string(s, &sink))
			return false;
		if (member)
			member->state = member->kind != JSON_STRING ? JSON_WRONG_TYPE
					: sink.bad                  ? JSON_TOO_LONG
								    : JSON_OK;
		return true;
	}
	if (c == '-' || (c >= '0' && c <= '9')) {
		if (!scan_number(s, &integer))
			return false;
		if (member) {
			member->state = member->kind == JSON_INTEGER && integer >= 0 ? JSON_OK : JSON_WRONG_TYPE;
			member->integer = integer;
		}
		return true;
	}
	if (member)
		member->state = c == 'n' ? JSON_ABSENT : JSON_WRONG_TYPE;
	return scan_word(s, c == 't' ? "true" : c == 'f' ? "false" : "null");
}

static struct json_member *find_member(struct json_member *members, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(members[i].name, name))
			return &members[i];
	return NULL;
}

/* `"name" :` of an object; *member is set at the top level only. */
static bool scan_name(struct scanner *s, bool top, struct json_member *members, size_t count,
		      struct json_member **member)
{
	char name[64];
	struct sink sink = {.out = name, .size = sizeof(name)};

	*member = NULL;
	skip_space(s);
	if (!scan_string(s, &sink))
		return false;
	if (top && !sink.bad)
		*member = find_member(members, count, name);
	skip_space(s);
	if (peek(s) != ':')
		return fail(s, "expected ':'");
	s->at++;
	skip_space(s);
	return true;
}

/*
 * One loop instead of recursion: `open` remembers the kind of each open container. Each turn reads one value (or
 * opens a container), then closes what ends and steps over one comma.
 */
static bool scan_document(struct scanner *s, struct json_member *members, size_t count)
{
	char open[MAX_DEPTH];
	size_t depth = 0;
	struct json_member *member = NULL;

	skip_space(s);
	if (peek(s) != '{')
		return fail(s, "expected an object");
	for (;;) {
		int c = peek(s);
		bool opened = c == '{' || c == '[';

		if (opened) {
			if (depth == MAX_DEPTH)
				return fail(s, "nested too deep");
			if (member)
				member->state = JSON_WRONG_TYPE;
			open[depth++] = (char)(c == '{' ? '}' : ']');
			s->at++;
		} else if (!scan_scalar(s, member)) {
			return false;
		}
		skip_space(s);
		while (depth && peek(s) == open[depth - 1]) {
			s->at++;
			depth--;
			opened = false;
			skip_space(s);
		}
		if (!depth)
			return true;
		if (!opened) {
			if (peek(s) != ',')
				return fail(s, "expected ',' or the end of the object or array");
			s->at++;
			skip_space(s);
		}
		member = NULL;
		if (open[depth - 1] == '}' && !scan_name(s, depth == 1, members, count, &member))
			return false;
	}
}

const char *json_scan(const char *input, size_t length, struct json_member *members, size_t count, size_t *offset)
{
	struct scanner s = {.in = (const unsigned char *)input, .length = length};

	for (size_t i = 0; i < count; i++)
		members[i].state = JSON_ABSENT;
	if (scan_document(&s, members, count) && s.at < s.length)
		fail(&s, "text after the object");
	*offset = s.at;
	return s.error;
}

/* Length of the UTF-8 sequence at p, 0 when it is none. */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0       ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void quote_bytes(struct sink *sink, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sink->used + 1 < sink->size)
			sink->out[sink->used] = bytes[i];
		sink->used++;
	}
}

size_t json_quote(const char *text, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	struct sink sink = {.out = out, .size = size};
	const unsigned char *p = (const unsigned char *)text;

	quote_bytes(&sink, "\"", 1);
	while (*p) {
		size_t n = utf8_length(p);
		char escape[6] = {'\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15]};

		if (!n) {
			quote_bytes(&sink, "?", 1);
			n = 1;
		} else if (*p == '"' || *p == '\\') {
			quote_bytes(&sink, "\\", 1);
			quote_bytes(&sink, (const char *)p, 1);
		} else if (*p < 0x20 || *p == 0x7f) {
			quote_bytes(&sink, escape, 6);
		} else {
			quote_bytes(&sink, (const char *)p, n);
		}
		p += n;
	}
	quote_bytes(&sink, "\"", 1);
	if (size)
		out[sink.used < size ? sink.used : size - 1] = '\0';
	return sink.used;
}
