/*
 * Echo server and client over TCP, UDP and SCTP, small and quick to start where a machine is emulated.
 *
 *   echo serve NAME PORT                          answers every message with "NAME ADDRESS"; says "ready" on standard output
 *   echo ask PROTOCOL ADDRESS PORT COUNT LIMIT_MS    so many new sockets, one after the other; for each a line with the answer, or
 *                                                 "error ECONNREFUSED", "error ETIMEDOUT", …
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 256, SERVER_LIMIT_MS = 5000, BACKLOG = 128 };

struct protocol {
	const char *name;
	int type;
	int number;
};

static const struct protocol protocols[] = {
	{"tcp", SOCK_STREAM, IPPROTO_TCP},
	{"udp", SOCK_DGRAM, IPPROTO_UDP},
	{"sctp", SOCK_STREAM, IPPROTO_SCTP},
};
enum { PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

static void set_limit(int fd, int limit_ms)
{
	struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* also how long connect() waits */
}

static const char *plain_address(const struct sockaddr_in6 *from, char *text, socklen_t size)
{
	inet_ntop(AF_INET6, &from->sin6_addr, text, size);
	return strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text;
}

static void answer_stream(int fd, const char *name)
{
	struct sockaddr_in6 from = {0};
	socklen_t size = sizeof(from);
	char in[MESSAGE_MAX], text[INET6_ADDRSTRLEN], out[MESSAGE_MAX];

	set_limit(fd, SERVER_LIMIT_MS);
	getpeername(fd, (struct sockaddr *)&from, &size);
	while (recv(fd, in, sizeof(in), 0) > 0) {
		int length = snprintf(out, sizeof(out), "%s %s\n", name, plain_address(&from, text, sizeof(text)));

		if (send(fd, out, (size_t)length, MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
}

static void answer_datagram(int fd, const char *name)
{
	struct sockaddr_in6 from = {0};
	socklen_t size = sizeof(from);
	char in[MESSAGE_MAX], text[INET6_ADDRSTRLEN], out[MESSAGE_MAX];

	if (recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &size) < 0)
		return;
	int length = snprintf(out, sizeof(out), "%s %s\n", name, plain_address(&from, text, sizeof(text)));
	sendto(fd, out, (size_t)length, 0, (struct sockaddr *)&from, size);
}

/* A bound socket; -1 if this kernel does not know the protocol. */
static int open_server(const struct protocol *protocol, uint16_t port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
	int fd = socket(AF_INET6, protocol->type, protocol->number), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (protocol->type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
		fprintf(stderr, "echo: cannot listen on %s port %d: %s\n", protocol->name, port, strerror(errno));
		exit(1);
	}
	return fd;
}

static int serve(const char *name, uint16_t port)
{
	struct pollfd sockets[PROTOCOLS];

	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < PROTOCOLS; i++)
		sockets[i] = (struct pollfd){.fd = open_server(&protocols[i], port), .events = POLLIN};
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(sockets, PROTOCOLS, -1) < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < PROTOCOLS; i++) {
			if (!(sockets[i].revents & POLLIN))
				continue;
			if (protocols[i].type == SOCK_DGRAM) {
				answer_datagram(sockets[i].fd, name);
				continue;
			}
			int fd = accept(sockets[i].fd, NULL, NULL);

			if (fd < 0)
				continue;
			if (fork() == 0) {
				answer_stream(fd, name);
				_exit(0);
			}
			close(fd);
		}
	}
}

/* Connects and waits for it. SCTP reports ICMP errors to those who poll, and only if they ask for them. 0 or an errno. */
static int connect_within(int fd, const struct sockaddr_storage *to, int limit_ms)
{
	socklen_t size = to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int one = 1, flags = fcntl(fd, F_GETFL), error = 0;
	socklen_t error_size = sizeof(error);

	setsockopt(fd, to->ss_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
		   to->ss_family == AF_INET6 ? IPV6_RECVERR : IP_RECVERR, &one, sizeof(one));
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (connect(fd, (const struct sockaddr *)to, size) < 0) {
		if (errno != EINPROGRESS)
			return errno;
		if (poll(&wait, 1, limit_ms) == 0)
			return ETIMEDOUT;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0)
			return errno;
	}
	fcntl(fd, F_SETFL, flags);
	return error;
}

/* One message and its answer over a new socket. 0 or an errno. */
static int ask_once(const struct protocol *protocol, const struct sockaddr_storage *to, int limit_ms, char *answer)
{
	int fd = socket(to->ss_family, protocol->type, protocol->number), error;
	ssize_t length = 0;

	if (fd < 0)
		return errno;
	set_limit(fd, limit_ms);
	error = connect_within(fd, to, limit_ms);
	errno = 0;
	if (!error &&
	    (send(fd, "hello\n", 6, MSG_NOSIGNAL) < 0 || (length = recv(fd, answer, MESSAGE_MAX - 1, 0)) <= 0))
		error = errno ? errno : ECONNRESET;
	close(fd);
	answer[length > 0 ? length : 0] = '\0';
	return error == EAGAIN ? ETIMEDOUT : error;
}

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	to->ss_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (to->ss_family == AF_INET6) {
		v6->sin6_port = htons(port);
		return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? 0 : -1;
	}
	v4->sin_port = htons(port);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -1;
}

static int ask(const struct protocol *protocol, const struct sockaddr_storage *to, int count, int limit_ms)
{
	char answer[MESSAGE_MAX];

	for (int i = 0; i < count; i++) {
		int error = ask_once(protocol, to, limit_ms, answer);

		if (error)
			printf("error %s\n", strerrorname_np(error));
		else
			printf("%s%s", answer, strchr(answer, '\n') ? "" : "\n");
		if (error == ETIMEDOUT)
			break; /* the next one would wait as long */
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;

	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], (uint16_t)atoi(argv[3]));
	for (int i = 0; argc == 7 && strcmp(argv[1], "ask") == 0 && i < PROTOCOLS; i++)
		if (strcmp(argv[2], protocols[i].name) == 0 &&
		    parse_address(argv[3], (uint16_t)atoi(argv[4]), &to) == 0)
			return ask(&protocols[i], &to, atoi(argv[5]), atoi(argv[6]));
	fprintf(stderr, "usage: echo serve NAME PORT | echo ask tcp|udp|sctp ADDRESS PORT COUNT LIMIT_MS\n");
	return 2;
}
