// SPDX-License-Identifier: Apache-2.0
/*
 * Small clients and servers for benchmarks, because what an interpreter adds would hide what the network costs.
 *
 *   traffic server PORT                                 accepts on [::]:PORT, one thread each, sends back what it gets
 *   traffic rr ADDRESS PORT MS                          one byte to and fro; prints exchanges per second
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
	if (argc == 7 && strcmp(argv[1], "connect") == 0 && atoi(argv[6]) > 0)
		return run_connect(argv + 2, atoi(argv[6]));
	if (argc >= 5 && strcmp(argv[1], "time") == 0)
		return run_time(argv[2], argv[3], argv + 4);
	fprintf(stderr, "usage: traffic server PORT | rr ADDRESS PORT MS | connect ADDRESS PORT ADDRESS PORT ROUNDS | "
			"time STDIN STDOUT COMMAND [ARGUMENT]...\n");
	return 2;
}
