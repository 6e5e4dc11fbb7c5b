// SPDX-License-Identifier: Apache-2.0
/*
 * Small clients and servers for benchmarks, because what an interpreter adds would hide what the network costs.
 *
 *   traffic server PORT                                 accepts on [::]:PORT, one thread each, sends back what it gets
 *   traffic rr ADDRESS PORT MS                          one byte to and fro; prints exchanges per second
 *   traffic answer PORT                                 accepts on [::]:PORT, in one thread; answers REQUEST_LEN bytes
 *   traffic requests ADDRESS PORT MS PARALLEL           a connection per request, PARALLEL at a time; prints requests/s
 *   traffic kept ADDRESS PORT MS PARALLEL               PARALLEL connections, request after request; prints requests/s
 *   traffic connect ADDRESS PORT ADDRESS PORT ROUNDS    connects to both in turn; prints the median ns of connect() to
 * each traffic time STDIN STDOUT COMMAND [ARGUMENT]...     prints the ns from fork to the end of the command; its exit
 * code
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static socklen_t parse_address(const char *address, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		return sizeof(*v6);
	}
	errno = EINVAL;
	die(address);
}

static int open_socket(const struct sockaddr_storage *to)
{
	int one = 1, fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[65536];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		if (write(fd, buffer, (size_t)n) != n)
			break;
	close(fd);
	return NULL;
}

static _Noreturn void run_server(const char *port)
{
	struct sockaddr_storage at;
	socklen_t len = parse_address("::", port, &at);
	int one = 1, fd = open_socket(&at);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 4096) < 0)
		die("listen");
	for (;;) {
		pthread_t thread;
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) != 0)
			close(client);
		else
			pthread_detach(thread);
	}
}

static int run_rr(const char *address, const char *port, int64_t ms)
{
	struct sockaddr_storage to;
	socklen_t len = parse_address(address, port, &to);
	int fd = open_socket(&to);
	int64_t start, end, exchanges = 0;
	char byte = 'x';

	if (connect(fd, (struct sockaddr *)&to, len) < 0)
		die("connect");
	start = now_ns();
	end = start + ms * 1000000;
	while (now_ns() < end) {
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("exchange");
		exchanges++;
	}
	printf("%.1f\n", (double)exchanges * 1e9 / (double)(now_ns() - start));
	return 0;
}

/* Time of connect() alone. The socket is closed by a reset, so that no port waits. */
static int64_t connect_once(const struct sockaddr_storage *to, socklen_t len)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = open_socket(to);
	int64_t start = now_ns(), took;

	if (connect(fd, (const struct sockaddr *)to, len) < 0)
		die("connect");
	took = now_ns() - start;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	return took;
}

enum {
	REQUEST_LEN = 64,
	EVENTS = 256,
};

static void watch(int queue, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* A request of a connection; the client ends it. */
static void answer(int fd)
{
	char buffer[REQUEST_LEN];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || write(fd, buffer, (size_t)n) != n)
		close(fd);
}

static _Noreturn void run_answer(const char *port)
{
	struct sockaddr_storage at;
	socklen_t len = parse_address("::", port, &at);
	int one = 1, fd = open_socket(&at), queue = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (queue < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 4096) < 0)
		die("listen");
	watch(queue, fd, EPOLLIN);
	for (;;) {
		int n = epoll_wait(queue, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int client = events[i].data.fd;

			if (client == fd) {
				client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
				if (client >= 0)
					watch(queue, client, EPOLLIN);
			} else {
				answer(client);
			}
		}
	}
}

/* Begins a request: the connection is being made. */
static void request_begin(int queue, const struct sockaddr_storage *to, socklen_t len)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = open_socket(to);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* so that no port waits */
	if (connect(fd, (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS)
		die("connect");
	watch(queue, fd, EPOLLOUT);
}

static void request_send(int fd)
{
	char buffer[REQUEST_LEN] = {0};

	if (write(fd, buffer, sizeof(buffer)) != sizeof(buffer))
		die("write");
}

/* Goes on with a request. 1 = answered; then the connection is closed, or has sent the next one if it is kept. */
static int request_go_on(int queue, const struct epoll_event *event, int kept)
{
	char buffer[REQUEST_LEN] = {0};
	struct epoll_event next = {.events = EPOLLIN, .data.fd = event->data.fd};

	if (event->events & (EPOLLERR | EPOLLHUP)) {
		socklen_t len = sizeof(errno);

		getsockopt(event->data.fd, SOL_SOCKET, SO_ERROR, &errno, &len);
		die("request");
	}
	if (event->events & EPOLLOUT) {
		request_send(event->data.fd);
		if (epoll_ctl(queue, EPOLL_CTL_MOD, event->data.fd, &next) < 0)
			die("epoll_ctl");
		return 0;
	}
	if (read(event->data.fd, buffer, sizeof(buffer)) != sizeof(buffer))
		die("read");
	if (kept)
		request_send(event->data.fd);
	else
		close(event->data.fd);
	return 1;
}

static int run_requests(const char *address, const char *port, int64_t ms, int parallel, int kept)
{
	struct sockaddr_storage to;
	socklen_t len = parse_address(address, port, &to);
	int queue = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS];
	int64_t start = now_ns(), end = start + ms * 1000000, done = 0;

	if (queue < 0)
		die("epoll_create1");
	for (int i = 0; i < parallel; i++)
		request_begin(queue, &to, len);
	while (now_ns() < end) {
		int n = epoll_wait(queue, events, EVENTS, 5000);

		if (n <= 0)
			die("no answer");
		for (int i = 0; i < n; i++) {
			if (!request_go_on(queue, &events[i], kept))
				continue;
			done++;
			if (!kept)
				request_begin(queue, &to, len);
		}
	}
	printf("%.1f\n", (double)done * 1e9 / (double)(now_ns() - start));
	return 0;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int run_connect(char **argv, int rounds)
{
	int64_t *took[2];
	struct sockaddr_storage to[2];
	socklen_t len[2];

	for (int i = 0; i < 2; i++) {
		len[i] = parse_address(argv[i * 2], argv[i * 2 + 1], &to[i]);
		took[i] = calloc((size_t)rounds, sizeof(*took[i]));
		if (!took[i])
			die("memory");
	}
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < 2; i++)
			took[(i + round) & 1][round] = connect_once(&to[(i + round) & 1], len[(i + round) & 1]);
	for (int i = 0; i < 2; i++)
		qsort(took[i], (size_t)rounds, sizeof(*took[i]), compare);
	printf("%lld %lld\n", (long long)took[0][rounds / 2], (long long)took[1][rounds / 2]);
	return 0;
}

static int run_time(const char *input, const char *output, char **command)
{
	int in = open(input, O_RDONLY | O_CLOEXEC), out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int64_t start = now_ns();
	int status;
	pid_t pid;

	if (in < 0 || out < 0)
		die("open");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(in, 0);
		dup2(out, 1);
		execv(command[0], command);
		die(command[0]);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("wait");
	printf("%lld\n", (long long)(now_ns() - start));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "server") == 0)
		run_server(argv[2]);
	if (argc == 5 && strcmp(argv[1], "rr") == 0)
		return run_rr(argv[2], argv[3], atoll(argv[4]));
	if (argc == 3 && strcmp(argv[1], "answer") == 0)
		run_answer(argv[2]);
	if (argc == 6 && strcmp(argv[1], "requests") == 0)
		return run_requests(argv[2], argv[3], atoll(argv[4]), atoi(argv[5]), 0);
	if (argc == 6 && strcmp(argv[1], "kept") == 0)
		return run_requests(argv[2], argv[3], atoll(argv[4]), atoi(argv[5]), 1);
	if (argc == 7 && strcmp(argv[1], "connect") == 0 && atoi(argv[6]) > 0)
		return run_connect(argv + 2, atoi(argv[6]));
	if (argc >= 5 && strcmp(argv[1], "time") == 0)
		return run_time(argv[2], argv[3], argv + 4);
	fprintf(stderr, "usage: traffic server PORT | rr ADDRESS PORT MS | answer PORT | "
			"requests|kept ADDRESS PORT MS PARALLEL | connect ADDRESS PORT ADDRESS PORT ROUNDS | "
			"time STDIN STDOUT COMMAND [ARGUMENT]...\n");
	return 2;
}
