import { describe, expect, it } from 'vitest';
import { cgroup2Mount } from './machine.ts';

/** Lines of /proc/self/mountinfo. */
const cgroup2 = (root: string, point: string) =>
	`41 31 0:38 ${root} ${point} rw,relatime shared:9 - cgroup2 cgroup2 rw\n`;
const CPU = '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n';
const TMPFS = '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n';

describe('the mount of cgroup v2', () => {
	it.each([
		['beside cgroup v1', [TMPFS, CPU, cgroup2('/', '/sys/fs/cgroup/unified')], '/sys/fs/cgroup/unified'],
		['without optional fields', [cgroup2('/', '/cg').replace(' shared:9', '')], '/cg'],
		['with a blank in its path', [cgroup2('/', '/mnt/my\\040groups')], '/mnt/my groups'],
		['not the bind mount of a part', [cgroup2('/a.slice', '/run/a'), cgroup2('/', '/run/whole')], '/run/whole'],
		[
			'in the usual place rather than below /run',
			[cgroup2('/', '/run/x'), cgroup2('/', '/sys/fs/cgroup')],
			'/sys/fs/cgroup',
		],
		[
			'in the usual place beside cgroup v1 rather than below /run',
			[cgroup2('/', '/run/x'), cgroup2('/', '/sys/fs/cgroup/unified')],
			'/sys/fs/cgroup/unified',
		],
		['the first of several elsewhere', [cgroup2('/', '/run/x'), cgroup2('/', '/run/y')], '/run/x'],
		[
			'the whole one elsewhere rather than a part in the usual place',
			[cgroup2('/a', '/sys/fs/cgroup'), cgroup2('/', '/cg')],
			'/cg',
		],
		[
			"that of the host in a container with a namespace and a mount of its own, not a neighbour's",
			[
				cgroup2('/', '/sys/fs/cgroup'),
				cgroup2('/../../pod7', '/pod7'),
				cgroup2('/../..', '/host'),
				cgroup2('/..', '/up'),
			],
			'/host',
		],
		['a part when there is nothing else', [cgroup2('/docker/1f', '/sys/fs/cgroup')], '/sys/fs/cgroup'],
		['nowhere', [TMPFS, CPU], undefined],
	])('is found %s', (_, lines, expected) => {
		expect(cgroup2Mount(lines.join(''))).toBe(expected);
	});
});
