/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int make_directories(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

static int write_durably(int dir, const char *name, const char *data, size_t length)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	while (length) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno != EINTR)
			goto failed;
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		}
	}
	if (fsync(fd))
		goto failed;
	return close(fd);
failed:
	close(fd);
	unlinkat(dir, name, 0);
	return -1;
}

int spool_request(char *path, const struct buffer *request)
{
	char name[64], temporary[80];
	struct timespec t;
	int dir, result = -1;

	if (make_directories(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(name, sizeof(name), "%011lld.%09ld-%ld.del", (long long)t.tv_sec, t.tv_nsec, (long)getpid());
	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	if (!write_durably(dir, temporary, request->data + 4, request->length - 4)) {
		result = renameat(dir, temporary, dir, name) || fsync(dir) ? -1 : 0;
		if (result)
			unlinkat(dir, temporary, 0);
	}
	close(dir);
	return result;
}
