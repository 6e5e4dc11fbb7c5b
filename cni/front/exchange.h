/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange with the agent over its unix socket: connect, send, receive, all under deadlines of the monotonic clock.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct buffer {
	char *data;
	size_t length;
	size_t capacity;
};

/* Milliseconds of the monotonic clock. */
int64_t now_ms(void);

/* Returns -1 when there is no memory. */
int buffer_append(struct buffer *b, const void *data, size_t length);

/* Waits until fd is ready for events (POLLIN, POLLOUT). 1 = ready, 0 = deadline passed. */
int wait_for(int fd, short events, int64_t deadline);

/* Waits for an absent agent until give_up, for a busy one until deadline. Returns a socket, or -1 with errno. */
int connect_agent(const char *path, int64_t give_up, int64_t deadline);

/* Returns 0, or -1 with errno. */
int send_all(int fd, const struct buffer *request, int64_t deadline);

/* Returns 0 with status byte and output in reply, or -1 with errno. */
int receive_reply(int fd, struct buffer *reply, int64_t deadline);
