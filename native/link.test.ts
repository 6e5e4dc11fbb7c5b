import { existsSync, mkdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileFixture, inNetns, ip, removeScratch, runChild, uniqueName } from './testdata/harness.ts';

/*
 * Interfaces live in a namespace of this file's, and so do the processes that attach to them: each test runs its
 * body in a child inside the namespace. fl0 and fl1 are a veth pair; fl1 has no addresses.
 */
const netns = uniqueName('fl-nt-');
const pins = join('/sys/fs/bpf', uniqueName('flnl'));
let object = '';

beforeAll(() => {
	object = compileFixture('basic');
	ip('netns', 'add', netns);
	ip('-n', netns, 'link', 'add', 'fl0', 'type', 'veth', 'peer', 'name', 'fl1');
	for (const link of ['fl0', 'fl1']) ip('-n', netns, 'link', 'set', link, 'up');
	mkdirSync(pins);
});
afterAll(() => {
	ip('netns', 'del', netns);
	rmdirSync(pins);
	removeScratch();
});
afterEach(() => {
	for (const name of ['link', 'program']) if (existsSync(join(pins, name))) unlinkSync(join(pins, name));
});

describe('tcx', () => {
	it('runs the program for each packet and replaces it atomically', () => {
		const result = inNetns(
			netns,
			async (n, { object }) => {
				const { execFileSync } = process.getBuiltinModule('node:child_process');
				const o = n.BpfObject.open(object);
				o.setRodata('verdict', new Uint8Array(Int32Array.of(-1).buffer));
				await o.load();
				const runs = (): number =>
					new DataView(o.map('.bss').get(new Uint8Array(4))?.buffer ?? new ArrayBuffer(8)).getUint32(0, true);
				const ping = (): void => {
					try {
						execFileSync('ip', ['neigh', 'replace', '192.0.2.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'fl0']);
						execFileSync('ping', ['-c', '3', '-i', '0.01', '-W', '0.05', '-I', 'fl0', '192.0.2.9'], {
							stdio: 'ignore',
						});
					} catch {
						// nobody answers; the packets are on their way all the same
					}
				};
				execFileSync('ip', ['addr', 'replace', '192.0.2.1/24', 'dev', 'fl0']);
				const link = n.BpfLink.attachTcx(o.program('first'), n.ifindexOf('fl0'), 'egress');
				const before = runs();
				ping();
				const counted = runs() - before;
				link.update(o.program('second'));
				const after = runs();
				ping();
				const later = runs() - after;
				const info = link.info;
				link.detach();
				return {
					counted,
					later,
					info,
					second: o.program('second').id,
					ifindex: n.ifindexOf('fl0'),
					detached: link.info.ifindex,
				};
			},
			{ object },
		);
		expect(result.counted).toBeGreaterThanOrEqual(3);
		expect(result.later).toBe(0);
		expect(result.info).toMatchObject({ type: 11, attachType: 47, programId: result.second, ifindex: result.ifindex });
		expect(result.detached).toBe(0);
	});

	it('names program, direction and interface when it cannot attach', () => {
		const errors = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const attempts = [
					() => n.BpfLink.attachTcx(o.program('first'), 999_999, 'ingress'),
					() => n.BpfLink.attachTcx(o.program('pass'), n.ifindexOf('fl0'), 'ingress'),
					() => n.BpfLink.attachTcx(o.program('first'), 0, 'ingress'),
					() => n.BpfLink.attachTcx(o.program('first'), 1, 'sideways' as 'ingress'),
					() => n.ifindexOf('no-such-link'),
				];
				return attempts.map((attempt) => {
					try {
						attempt();
						return 'did not throw';
					} catch (error) {
						return error instanceof Error ? `${error.name}: ${error.message}` : '';
					}
				});
			},
			{ object },
		);
		expect(errors).toEqual([
			'NativeError: program first: cannot attach to tcx ingress of interface 999999: No such device (ENODEV)',
			expect.stringMatching(/^NativeError: program pass: cannot attach to tcx ingress of interface \d+: .*\(EINVAL\)$/),
			'TypeError: ifindex: expected an interface index, got 0',
			"TypeError: where: expected 'ingress' or 'egress', got 'sideways'",
			'NativeError: cannot find interface no-such-link: No such device (ENODEV)',
		]);
	});

	it('attaches on a worker thread while the program may be closed and this thread goes on', () => {
		const result = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const id = o.program('first').id;
				const [program, ifindex] = [o.program('first'), n.ifindexOf('fl1')];
				const pending = n.BpfLink.attachTcxAsync([
					{ program, ifindex, where: 'ingress' },
					{ program, ifindex, where: 'egress' },
				]);
				let turns = 0;
				const timer = setInterval(() => turns++, 0);
				o.close();
				const links = await pending;
				clearInterval(timer);
				const infos = links.map((link) => link.info);
				for (const link of links) link.close();
				return { id, turns, infos };
			},
			{ object },
		);
		expect(result.infos.map((info) => [info.programId, info.attachType])).toEqual([
			[result.id, 46],
			[result.id, 47],
		]);
		expect(result.turns).toBeGreaterThan(0);
	});

	it('rejects what it would throw for when asked to attach on a worker thread', () => {
		const errors = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const first = o.program('first');
				const attempts = [
					{ program: first, ifindex: 999_999, where: 'ingress' },
					{ program: first, ifindex: 0, where: 'ingress' },
					{ program: first, ifindex: 1, where: 'sideways' },
					{ program: {}, ifindex: 1, where: 'ingress' },
				].map((hook) => n.BpfLink.attachTcxAsync([hook as Parameters<typeof n.BpfLink.attachTcxAsync>[0][0]]));
				const settled = await Promise.allSettled(attempts);
				return settled.map((each) => (each.status === 'rejected' ? String(each.reason) : 'did not reject'));
			},
			{ object },
		);
		expect(errors).toEqual([
			'NativeError: program first: cannot attach to tcx ingress of interface 999999: No such device (ENODEV)',
			'TypeError: ifindex: expected an interface index, got 0',
			"TypeError: where: expected 'ingress' or 'egress', got 'sideways'",
			expect.stringMatching(/^TypeError: .*program/),
		]);
	});

	it('ends with the process unless pinned; a pin is found again by the next process', () => {
		const args = { object, pin: join(pins, 'link') };
		const attach = async (n: typeof import('./index.ts'), a: { object: string; pin: string; keep: boolean }) => {
			const o = n.BpfObject.open(a.object);
			await o.load();
			const link = n.BpfLink.attachTcx(o.program('second'), n.ifindexOf('fl1'), 'ingress');
			if (a.keep) link.pin(a.pin);
			return link.info.id;
		};
		const ids = (n: typeof import('./index.ts')) => n.linkIds();
		const unpinned = inNetns(netns, attach, { ...args, keep: false });
		expect(inNetns(netns, ids, {})).not.toContain(unpinned);
		const pinned = inNetns(netns, attach, { ...args, keep: true });
		expect(inNetns(netns, ids, {})).toContain(pinned);
		const found = inNetns(
			netns,
			async (n, a) => {
				const o = n.BpfObject.open(a.object);
				await o.load();
				const link = n.BpfLink.openPinned(a.pin);
				link.update(o.program('first'));
				return { info: link.info, byId: n.BpfLink.openById(link.info.id).info, program: o.program('first').id };
			},
			args,
		);
		expect(found.info).toMatchObject({ id: pinned, programId: found.program });
		expect(found.byId).toEqual(found.info);
		unlinkSync(args.pin);
		expect(inNetns(netns, ids, {})).not.toContain(pinned);
	});

	it('does not take a pinned program for a link, nor a link for a map', () => {
		const codes = inNetns(
			netns,
			async (n, { object, pins }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				o.program('first').pin(`${pins}/program`);
				const link = n.BpfLink.attachTcx(o.program('first'), n.ifindexOf('fl1'), 'egress');
				link.pin(`${pins}/link`);
				const code = (run: () => unknown): string => {
					try {
						run();
						return 'did not throw';
					} catch (error) {
						return error instanceof n.NativeError ? `${error.code} ${error.message}` : String(error);
					}
				};
				return [
					code(() => n.BpfLink.openPinned(`${pins}/program`)),
					code(() => n.BpfMap.openPinned(`${pins}/link`)),
					code(() => n.BpfProgram.openPinned(`${pins}/link`)),
					n.BpfProgram.openPinned(`${pins}/program`).tag === o.program('first').tag
						? 'same program'
						: 'another program',
					n.BpfProgram.openById(o.program('first').id).name,
				];
			},
			{ object, pins },
		);
		expect(codes[0]).toMatch(/^WRONG_KIND .*expected bpf-link, found .*bpf-prog/);
		expect(codes[1]).toMatch(/^WRONG_KIND .*expected bpf-map/);
		expect(codes[2]).toMatch(/^WRONG_KIND .*expected bpf-prog/);
		expect(codes.slice(3)).toEqual(['same program', 'first']);
	});
});

describe('XDP', () => {
	it('attaches in the mode that was asked for and says which it is', () => {
		const modes = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const index = n.ifindexOf('fl1');
				const seen: unknown[] = [n.xdpMode(index)];
				for (const mode of ['native', 'generic'] as const) {
					const link = n.BpfLink.attachXdp(o.program('pass'), index, mode);
					seen.push(n.xdpMode(index), link.info.type, link.info.ifindex === index);
					link.close();
				}
				return [...seen, n.xdpMode(index)];
			},
			{ object },
		);
		expect(modes).toEqual(['none', 'native', 6, true, 'generic', 6, true, 'none']);
	});

	it('says EOPNOTSUPP where the driver cannot, so that the caller can choose generic', () => {
		const codes = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const attach = (mode: 'native' | 'generic'): string => {
					try {
						n.BpfLink.attachXdp(o.program('pass'), n.ifindexOf('lo'), mode);
						return 'attached';
					} catch (error) {
						return error instanceof n.NativeError ? error.code : String(error);
					}
				};
				return [attach('native'), attach('generic'), attach('generic')];
			},
			{ object },
		);
		expect(codes).toEqual(['EOPNOTSUPP', 'attached', 'EBUSY']);
	});
});

describe('clsact', () => {
	it('attaches, replaces in its slot, keeps slots apart and detaches', () => {
		const slots = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const index = n.ifindexOf('fl0');
				const [first, second] = [o.program('first'), o.program('second')];
				const slot = { priority: 1, handle: 7 };
				const other = { priority: 2, handle: 7 };
				const name = (id: number | undefined): string =>
					id === first.id ? 'first' : id === second.id ? 'second' : String(id);
				const look = (): string[] => [
					name(n.clsact.programId(index, 'ingress', slot)),
					name(n.clsact.programId(index, 'ingress', other)),
					name(n.clsact.programId(index, 'egress', slot)),
				];
				const seen = [look()];
				n.clsact.attach(first, index, 'ingress', slot);
				n.clsact.attach(second, index, 'ingress', other);
				seen.push(look());
				n.clsact.attach(second, index, 'ingress', slot);
				n.clsact.attach(first, index, 'egress', slot);
				seen.push(look());
				n.clsact.detach(index, 'ingress', slot);
				seen.push(look());
				let again = '';
				try {
					n.clsact.detach(index, 'ingress', slot);
				} catch (error) {
					again = error instanceof n.NativeError ? `${error.code} ${error.message}` : String(error);
				}
				n.clsact.detach(index, 'ingress', other);
				n.clsact.detach(index, 'egress', slot);
				seen.push(look());
				return { seen, again };
			},
			{ object },
		);
		expect(slots.seen).toEqual([
			['undefined', 'undefined', 'undefined'],
			['first', 'second', 'undefined'],
			['second', 'second', 'first'],
			['undefined', 'second', 'first'],
			['undefined', 'undefined', 'undefined'],
		]);
		expect(slots.again).toMatch(/^ENOENT cannot detach from clsact ingress of interface \d+ priority 1 handle 7/);
	});

	it('prints nothing of its own', () => {
		const run = runChild(
			async (n, { object }: { object: string }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				for (const priority of [1, 2])
					n.clsact.attach(o.program('second'), n.ifindexOf('fl1'), 'egress', { priority, handle: 1 });
				for (const priority of [1, 2]) n.clsact.detach(n.ifindexOf('fl1'), 'egress', { priority, handle: 1 });
			},
			{ object },
			{ netns },
		);
		expect(run).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
	});
});

describe('cgroup', () => {
	const unified = readFileSync('/proc/self/mountinfo', 'utf8')
		.split('\n')
		.find((line) => line.includes(' - cgroup2 '))
		?.split(' ')[4];
	const cgroup = join(unified ?? '/sys/fs/cgroup', uniqueName('fl-nt-'));
	beforeAll(() => {
		mkdirSync(cgroup);
	});
	afterAll(() => rmdirSync(cgroup));

	it('decides about connect() of the processes inside until it is replaced', () => {
		const seen = inNetns(
			netns,
			async (n, { object, cgroup }) => {
				const { execFileSync } = process.getBuiltinModule('node:child_process');
				const load = async (verdict: number) => {
					const o = n.BpfObject.open(object);
					o.setRodata('verdict', new Uint8Array(Uint32Array.of(verdict).buffer));
					await o.load();
					return o.program('connect4');
				};
				const [refuse, allow] = [await load(1), await load(0)];
				const connect = (where: string): string => {
					const script = `[ -z "$1" ] || echo $$ > "$1/cgroup.procs"; exec 3<>/dev/udp/127.0.0.1/9`;
					try {
						execFileSync('bash', ['-c', script, '-', where], { stdio: 'pipe' });
						return 'connected';
					} catch (error) {
						return /not permitted/.test(String(error)) ? 'refused' : String(error);
					}
				};
				execFileSync('ip', ['link', 'set', 'lo', 'up']);
				const link = n.BpfLink.attachCgroup(refuse, cgroup, 'connect4');
				const result = [connect(cgroup), connect('')];
				link.update(allow);
				result.push(connect(cgroup));
				return { result, info: link.info, allow: allow.id };
			},
			{ object, cgroup },
		);
		expect(seen.result).toEqual(['refused', 'connected', 'connected']);
		expect(seen.info).toMatchObject({ type: 3, attachType: 10, programId: seen.allow });
	});

	it('says what is wrong with path, type or program', () => {
		const errors = inNetns(
			netns,
			async (n, { object, cgroup }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const attempts = [
					() => n.BpfLink.attachCgroup(o.program('connect4'), `${cgroup}/none`, 'connect4'),
					() => n.BpfLink.attachCgroup(o.program('connect4'), '/tmp', 'connect4'),
					() => n.BpfLink.attachCgroup(o.program('connect4'), cgroup, 'connect6'),
					() => n.BpfLink.attachCgroup(o.program('connect4'), cgroup, 'connect5' as 'connect4'),
				];
				return attempts.map((attempt) => {
					try {
						attempt();
						return 'did not throw';
					} catch (error) {
						return error instanceof Error ? error.message : '';
					}
				});
			},
			{ object, cgroup },
		);
		expect(errors).toEqual([
			`cannot open cgroup ${cgroup}/none: No such file or directory (ENOENT)`,
			'program connect4: cannot attach to connect4 of cgroup /tmp: Bad file descriptor (EBADF)',
			expect.stringContaining(`cannot attach to connect6 of cgroup ${cgroup}: Invalid argument (EINVAL)`),
			"type: unknown cgroup attach type 'connect5'",
		]);
	});
});
