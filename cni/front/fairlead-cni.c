/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CNI executable. It checks what can be checked without the agent, passes environment and standard input over a
 * unix socket and prints the reply. Without an agent: ADD, CHECK and GC fail with code 11 (try again later), STATUS
 * with 50, DEL is put aside durably and succeeds, so that draining a node never hangs. It never waits longer than
 * its deadline, and keeps no state of its own.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "exchange.h"
#include "json.h"
#include "spool.h"

enum {
	MAX_STDIN = 4 << 20,
	STDIN_WAIT_MS = 10000,
};

enum cni_code {
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO = 5,
	CNI_DECODE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_INVALID_NETNS = 8,
	CNI_TRY_AGAIN = 11,
	CNI_NOT_AVAILABLE = 50,
};

enum need { NEED_ID = 1, NEED_NETNS = 2, NEED_IFNAME = 4, NEED_PATH = 8 };

struct verb {
	const char *name;
	unsigned int needs;
	int deadline_ms; /* for the whole exchange with the agent; addTimeoutMs and delTimeoutMs replace it */
	int connect_ms;  /* how long an absent agent is waited for */
	enum cni_code absent;
};

static const struct verb verbs[] = {
	{"ADD", NEED_ID | NEED_NETNS | NEED_IFNAME, 32000, 2000, CNI_TRY_AGAIN},
	{"DEL", NEED_ID | NEED_IFNAME, 12000, 0, CNI_TRY_AGAIN},
	{"CHECK", NEED_ID | NEED_NETNS | NEED_IFNAME, 12000, 1000, CNI_TRY_AGAIN},
	{"STATUS", 0, 2000, 0, CNI_NOT_AVAILABLE},
	{"GC", NEED_PATH, 60000, 1000, CNI_TRY_AGAIN},
	{"VERSION", 0, 0, 0, CNI_TRY_AGAIN},
};

static const char *const versions[] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

struct config {
	char version[16];
	char name[256];
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char spool_dir[PATH_MAX - 64];
	long add_timeout_ms;
	long del_timeout_ms;
};

static char reply_version[16] = "1.1.0";

static void write_out(const char *data, size_t length)
{
	while (length) {
		ssize_t n = write(STDOUT_FILENO, data, length);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		}
	}
}

/* Prints an error as the specification wants it (JSON on stdout) and ends. */
__attribute__((format(printf, 2, 3), noreturn)) static void die(enum cni_code code, const char *format, ...)
{
	char text[1024], quoted[sizeof(text) * 6 + 3], out[sizeof(quoted) + 128];
	va_list args;
	int n;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_quote(text, quoted, sizeof(quoted));
	n = snprintf(out, sizeof(out), "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":%s}\n", reply_version, code, quoted);
	write_out(out, (size_t)n);
	exit(1);
}

static void append(struct buffer *b, const void *data, size_t length)
{
	if (buffer_append(b, data, length))
		die(CNI_IO, "cannot handle the request: out of memory");
}

static void read_stdin(struct buffer *in)
{
	int64_t deadline = now_ms() + STDIN_WAIT_MS;
	char chunk[16384];

	for (;;) {
		ssize_t n;

		if (!wait_for(STDIN_FILENO, POLLIN, deadline))
			die(CNI_IO, "cannot read the network configuration from stdin: no end within %d ms",
			    STDIN_WAIT_MS);
		n = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n == 0)
			return;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			die(CNI_IO, "cannot read the network configuration from stdin: %s", strerror(errno));
		if (n > 0)
			append(in, chunk, (size_t)n);
		if (in->length > MAX_STDIN)
			die(CNI_DECODE, "cannot read the network configuration from stdin: larger than %d bytes",
			    MAX_STDIN);
	}
}

static int supported(const char *version)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (!strcmp(version, versions[i]))
			return 1;
	return 0;
}

static void check_member(const struct json_member *m)
{
	if (m->state == JSON_WRONG_TYPE)
		die(CNI_INVALID_CONFIG, "network configuration: %s must be a %s", m->name,
		    m->kind == JSON_STRING ? "string" : "whole number, not negative");
	if (m->state == JSON_TOO_LONG)
		die(CNI_INVALID_CONFIG, "network configuration: %s is longer than %zu bytes or contains NUL", m->name,
		    m->text_size - 1);
	if (m->state == JSON_OK && m->kind == JSON_INTEGER && (m->integer < 100 || m->integer > 600000))
		die(CNI_INVALID_CONFIG, "network configuration: %s must be between 100 and 600000", m->name);
}

static void parse_config(const struct buffer *in, struct config *config)
{
	struct json_member members[] = {
		{.name = "cniVersion", .text = config->version, .text_size = sizeof(config->version)},
		{.name = "name", .text = config->name, .text_size = sizeof(config->name)},
		{.name = "socketPath", .text = config->socket_path, .text_size = sizeof(config->socket_path)},
		{.name = "spoolDir", .text = config->spool_dir, .text_size = sizeof(config->spool_dir)},
		{.name = "addTimeoutMs", .kind = JSON_INTEGER, .integer = 0},
		{.name = "delTimeoutMs", .kind = JSON_INTEGER, .integer = 0},
	};
	size_t count = sizeof(members) / sizeof(members[0]), offset;
	const char *error = json_scan(in->length ? in->data : "", in->length, members, count, &offset);

	if (error)
		die(CNI_DECODE, "cannot decode the network configuration: %s at byte %zu", error, offset);
	if (members[0].state == JSON_OK && supported(config->version))
		strcpy(reply_version, config->version);
	for (size_t i = 0; i < count; i++)
		check_member(&members[i]);
	if (members[0].state == JSON_ABSENT)
		die(CNI_INCOMPATIBLE_VERSION,
		    "network configuration: cniVersion is missing; supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0");
	if (!supported(config->version))
		die(CNI_INCOMPATIBLE_VERSION,
		    "network configuration: cniVersion %s is not supported; supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0",
		    config->version);
	if (members[1].state == JSON_ABSENT)
		die(CNI_INVALID_CONFIG, "network configuration: name is missing");
	if (members[2].state == JSON_ABSENT)
		strcpy(config->socket_path, "/run/fairlead/cni.sock");
	if (members[3].state == JSON_ABSENT)
		strcpy(config->spool_dir, "/var/lib/fairlead/cni-spool");
	config->add_timeout_ms = members[4].state == JSON_OK ? members[4].integer : 0;
	config->del_timeout_ms = members[5].state == JSON_OK ? members[5].integer : 0;
}

#define ID_RULE "must be letters, digits, '_', '.' and '-', the first a letter or digit"

/* [a-zA-Z0-9][a-zA-Z0-9_.-]* */
static int valid_id(const char *text)
{
	if (!isalnum((unsigned char)text[0]))
		return 0;
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return 0;
	return 1;
}

static int valid_ifname(const char *text)
{
	size_t length = strlen(text);

	if (length < 1 || length > 15 || !strcmp(text, ".") || !strcmp(text, ".."))
		return 0;
	for (const char *p = text; *p; p++)
		if (*p == '/' || *p == ':' || isspace((unsigned char)*p))
			return 0;
	return 1;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

/* All that is missing, at once. */
static void check_required(const struct verb *verb)
{
	static const struct {
		unsigned int need;
		const char *name;
	} inputs[] = {{NEED_ID, "CNI_CONTAINERID"},
		      {NEED_NETNS, "CNI_NETNS"},
		      {NEED_IFNAME, "CNI_IFNAME"},
		      {NEED_PATH, "CNI_PATH"}};
	char missing[128] = "";

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (!(verb->needs & inputs[i].need) || variable(inputs[i].name))
			continue;
		if (missing[0])
			strcat(missing, ", ");
		strcat(missing, inputs[i].name);
	}
	if (missing[0])
		die(CNI_INVALID_ENVIRONMENT, "%s: required environment variables are missing: %s", verb->name, missing);
}

/* ADD, DEL and CHECK would otherwise change the node's own network. */
static void check_netns(const char *path)
{
	const char *override = variable("CNI_NETNS_OVERRIDE");
	struct stat own, other;

	if (override && (!strcmp(override, "1") || !strcasecmp(override, "true")))
		return;
	if (stat("/proc/self/ns/net", &own) < 0 || stat(path, &other) < 0)
		return; /* the agent says what is wrong with it */
	if (own.st_dev == other.st_dev && own.st_ino == other.st_ino)
		die(CNI_INVALID_NETNS, "CNI_NETNS %s is the network namespace of the node itself", path);
}

static void check_inputs(const struct verb *verb, const struct config *config)
{
	const char *id = variable("CNI_CONTAINERID"), *ifname = variable("CNI_IFNAME"), *netns = variable("CNI_NETNS");

	if (!valid_id(config->name))
		die(CNI_INVALID_CONFIG, "network configuration: name %s: " ID_RULE, config->name);
	if (verb->needs & NEED_ID && !valid_id(id))
		die(CNI_INVALID_ENVIRONMENT, "CNI_CONTAINERID %s: " ID_RULE, id);
	if (verb->needs & NEED_IFNAME && !valid_ifname(ifname))
		die(CNI_INVALID_ENVIRONMENT, "CNI_IFNAME %s: 1 to 15 characters without '/', ':' and space", ifname);
	if (verb->needs & NEED_ID && netns)
		check_netns(netns);
}

static int passed_on(const char *entry)
{
	return !strncmp(entry, "CNI_", 4) || !strncmp(entry, "TRACEPARENT=", 12) ||
	       !strncmp(entry, "TRACESTATE=", 11) || !strncmp(entry, "BAGGAGE=", 8);
}

/* KEY=VALUE\0 ... \0 and the bytes of stdin; the first 4 bytes are the length of the rest */
static void build_request(struct buffer *request, const struct buffer *in)
{
	unsigned char length[4] = {0};
	size_t n;

	append(request, length, 4);
	for (char **entry = environ; entry && *entry; entry++)
		if (passed_on(*entry) && strchr(*entry, '='))
			append(request, *entry, strlen(*entry) + 1);
	append(request, "", 1);
	append(request, in->data, in->length);
	n = request->length - 4;
	request->data[0] = (char)(n >> 24);
	request->data[1] = (char)(n >> 16);
	request->data[2] = (char)(n >> 8);
	request->data[3] = (char)n;
}

/* What is done when the agent does not answer; errno says why. */
__attribute__((noreturn)) static void without_agent(const struct verb *verb, struct config *config,
						    const struct buffer *request, int64_t started, const char *doing)
{
	int why = errno;

	if (strcmp(verb->name, "DEL"))
		die(verb->absent,
		    "Fairlead agent does not answer at %s: %s: %s after %lld ms; it is not running on this node, still "
		    "starting or overloaded",
		    config->socket_path, doing, strerror(why), (long long)(now_ms() - started));
	if (spool_request(config->spool_dir, request))
		die(CNI_TRY_AGAIN,
		    "Fairlead agent does not answer at %s: %s: %s; and the deletion cannot be kept for later in %s: %s",
		    config->socket_path, doing, strerror(why), config->spool_dir, strerror(errno));
	exit(0);
}

static int deadline_of(const struct verb *verb, const struct config *config)
{
	if (!strcmp(verb->name, "ADD") && config->add_timeout_ms)
		return (int)config->add_timeout_ms;
	if (!strcmp(verb->name, "DEL") && config->del_timeout_ms)
		return (int)config->del_timeout_ms;
	return verb->deadline_ms;
}

__attribute__((noreturn)) static void forward(const struct verb *verb, struct config *config, const struct buffer *in)
{
	struct buffer request = {0}, reply = {0};
	int64_t started = now_ms(), deadline = started + deadline_of(verb, config);
	int64_t give_up = started + verb->connect_ms;
	int fd;

	build_request(&request, in);
	fd = connect_agent(config->socket_path, give_up < deadline ? give_up : deadline, deadline);
	if (fd < 0)
		without_agent(verb, config, &request, started, "connect");
	if (send_all(fd, &request, deadline))
		without_agent(verb, config, &request, started, "send");
	if (receive_reply(fd, &reply, deadline))
		without_agent(verb, config, &request, started, "receive");
	write_out(reply.data + 1, reply.length - 1);
	exit((unsigned char)reply.data[0]);
}

/* The version asked with is the one answered with; any input is good enough for that. */
__attribute__((noreturn)) static void print_version(const struct buffer *in)
{
	char asked[16] = "", out[160];
	struct json_member member = {.name = "cniVersion", .text = asked, .text_size = sizeof(asked)};
	size_t offset;
	int n;

	if (!json_scan(in->length ? in->data : "", in->length, &member, 1, &offset) && member.state == JSON_OK &&
	    supported(asked))
		strcpy(reply_version, asked);
	n = snprintf(out, sizeof(out),
		     "{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n",
		     reply_version);
	write_out(out, (size_t)n);
	exit(0);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	die(CNI_INVALID_ENVIRONMENT, "CNI_COMMAND %s is unknown; known: ADD, DEL, CHECK, STATUS, GC, VERSION", name);
}

int main(void)
{
	static struct config config;
	struct buffer in = {0};
	const char *command = variable("CNI_COMMAND");
	const struct verb *verb;

	signal(SIGPIPE, SIG_IGN);
	if (!command)
		die(CNI_INVALID_ENVIRONMENT,
		    "CNI_COMMAND is missing: this is a CNI plugin, started by a container runtime");
	verb = find_verb(command);
	read_stdin(&in);
	if (!strcmp(verb->name, "VERSION"))
		print_version(&in);
	parse_config(&in, &config);
	check_required(verb);
	check_inputs(verb, &config);
	forward(verb, &config, &in);
}
