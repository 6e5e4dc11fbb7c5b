// SPDX-License-Identifier: Apache-2.0
/*
 * fairlead-mount TYPE=DIRECTORY...: mounts file systems of the kernel where they are not mounted yet, before the agent starts.
 * TYPE is bpf or cgroup2. It is the one privileged step of an installation, so it can do nothing else. Mounting hides what a
 * directory holds: one that is of another type and not empty is refused. Exit code 1 and one line when something cannot be done.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

struct kind {
	const char *name;
	unsigned long magic;
	const char *options;
};

static const struct kind KINDS[] = {
	{"bpf", BPF_FS_MAGIC, "mode=0700"},
	{"cgroup2", CGROUP2_SUPER_MAGIC, NULL},
};

static const struct kind *find_kind(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
		if (strlen(KINDS[i].name) == length && memcmp(KINDS[i].name, name, length) == 0)
			return &KINDS[i];
	}
	return NULL;
}

static int fail(const char *what, const char *directory, const char *why)
{
	fprintf(stderr, "fairlead-mount: cannot %s %s: %s\n", what, directory, why);
	return 1;
}

/* False with errno 0 when it holds something, with another errno when it cannot be read. */
static bool is_empty(const char *path)
{
	DIR *directory = opendir(path);
	if (!directory)
		return false;
	int entries = 0;
	errno = 0;
	while (entries <= 2 && readdir(directory))
		entries++;
	int error = errno;
	closedir(directory);
	errno = error;
	return entries <= 2 && error == 0;
}

static int ensure_mounted(const char *argument)
{
	const char *equals = strchr(argument, '=');
	const struct kind *kind = equals ? find_kind(argument, (size_t)(equals - argument)) : NULL;
	if (!kind || equals[1] != '/')
		return fail("understand", argument, "expected bpf=DIRECTORY or cgroup2=DIRECTORY");

	const char *directory = equals + 1;
	struct statfs found;
	if (statfs(directory, &found) != 0)
		return fail("look at", directory, strerror(errno));
	if ((unsigned long)found.f_type == kind->magic)
		return 0;
	if (!is_empty(directory))
		return fail("mount on", directory, errno ? strerror(errno) : "it is not empty and of another type");
	if (mount(kind->name, directory, kind->name, MS_NOSUID | MS_NODEV | MS_NOEXEC, kind->options) != 0)
		return fail("mount on", directory, strerror(errno));
	printf("mounted %s at %s\n", kind->name, directory);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (ensure_mounted(argv[i]) != 0)
			return 1;
	}
	return 0;
}
