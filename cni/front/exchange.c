/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "exchange.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REPLY = 16 << 20, RETRY_MS = 50 };

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int buffer_append(struct buffer *b, const void *data, size_t length)
{
	if (b->capacity - b->length < length) {
		size_t capacity = (b->length + length) * 2;
		char *grown = realloc(b->data, capacity);

		if (!grown)
			return -1;
		b->data = grown;
		b->capacity = capacity;
	}
	if (length)
		memcpy(b->data + b->length, data, length);
	b->length += length;
	return 0;
}

int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 1;
		if (n == 0 || errno != EINTR)
			return 0;
	}
}

int connect_agent(const char *path, int64_t give_up, int64_t deadline)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, saved;

	strcpy(address.sun_path, path);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return -1;
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		saved = errno;
		close(fd);
		errno = saved;
		if (saved != ENOENT && saved != ECONNREFUSED && saved != EAGAIN)
			return -1;
		if (now_ms() >= (saved == EAGAIN ? deadline : give_up))
			return -1;
		poll(NULL, 0, RETRY_MS);
	}
}

int send_all(int fd, const struct buffer *request, int64_t deadline)
{
	size_t sent = 0;

	while (sent < request->length) {
		ssize_t n;

		if (!wait_for(fd, POLLOUT, deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = send(fd, request->data + sent, request->length - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		if (n > 0)
			sent += (size_t)n;
	}
	return 0;
}

static int receive_exactly(int fd, char *into, size_t length, int64_t deadline)
{
	while (length) {
		ssize_t n;

		if (!wait_for(fd, POLLIN, deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = recv(fd, into, length, 0);
		if (n == 0) {
			errno = ECONNRESET;
			return -1;
		}
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		if (n > 0) {
			into += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

int receive_reply(int fd, struct buffer *reply, int64_t deadline)
{
	unsigned char head[4];
	size_t length;

	if (receive_exactly(fd, (char *)head, 4, deadline))
		return -1;
	length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (length < 1 || length > MAX_REPLY) {
		errno = EPROTO;
		return -1;
	}
	reply->data = malloc(length);
	if (!reply->data)
		return -1;
	reply->length = length;
	return receive_exactly(fd, reply->data, length, deadline);
}
