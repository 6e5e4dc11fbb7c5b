/**
 * The real command line tool as a process against the real API server over a fake state.
 */
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DropReason, EventType, L4Proto } from '../native/abi/generated.ts';
import { CLI, NODE, runCli, startCli } from '../test/lib/fairlead-cli.ts';
import type { FakeAgent } from '../test/lib/fake-agent.ts';
import { READY, startFakeAgent } from '../test/lib/fake-agent.ts';
import { flowRecord } from '../test/lib/flow-records.ts';

let agent: FakeAgent;

beforeEach(async () => {
	agent = await startFakeAgent();
});

afterEach(async () => {
	await agent.stop();
});

const run = (...args: string[]) => runCli(args, { socketPath: agent.socketPath });

function parseLines(text: string): unknown[] {
	return text
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line) as unknown);
}

/** One forwarded flow through a service, one drop; a second apart. */
function recordTwo(): void {
	const at = () => ({ timeNs: agent.clock.monotonicNs() });
	agent.flows.record([flowRecord({ ...at(), origDst: '10.96.0.3', origDport: 5432, dport: 15432 })]);
	agent.clock.advanceNs(1_000_000_000n);
	agent.flows.record([
		flowRecord({ ...at(), type: EventType.DROP, reason: DropReason.NO_ROUTE, dst: '10.9.9.9', tcpFlags: 0x18 }),
	]);
}

describe('fairlead list commands', () => {
	it('lists services as a table, sorted by namespace and name', async () => {
		expect(await run('service', 'list')).toEqual({
			code: 0,
			err: '',
			out: [
				'NAMESPACE   NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORTS    BACKENDS',
				'data        db     ClusterIP   10.96.0.3    192.0.2.1     -        0',
				'shop        web    NodePort    10.96.0.9    -             80/tcp   1 (+1 terminating)',
				'',
			].join('\n'),
		});
	});

	it('lists services of one namespace as JSON', async () => {
		const { code, out } = await run('svc', 'list', '-n', 'data', '-o', 'json');
		expect(code).toBe(0);
		expect(JSON.parse(out)).toMatchObject({ services: [{ namespace: 'data', name: 'db', clusterIps: ['10.96.0.3'] }] });
	});

	it('shows one service with its backends', async () => {
		const { code, out } = await run('service', 'get', 'shop/web');
		expect(code).toBe(0);
		expect(out).toContain('Session affinity:   ClientIP 10800s\n');
		expect(out.split('\n').slice(-5, -1)).toEqual([
			'FRONTEND           PORT-NAME   SCOPE      BACKEND         STATE         POD          NODE',
			'10.96.0.9:80/tcp   http        cluster    10.1.0.5:8080   active        shop/web-1   node-a (local)',
			'                                          10.1.1.7:8080   terminating   -            node-b',
			'[fd00::9]:80/tcp   -           external   -               none          -            -',
		]);
	});

	it('says when there is no such service, with an exit code of its own', async () => {
		expect(await run('service', 'get', 'web')).toEqual({
			code: 4,
			out: '',
			err: 'fairlead: service default/web: not found\n',
		});
		expect((await run('service', 'get', 'a/b/c')).code).toBe(2);
	});

	it('lists endpoints', async () => {
		const { out } = await run('endpoint', 'list', '-o', 'wide');
		expect(out.split('\n')[1]).toMatch(
			/^3 +shop +web-1 +10\.1\.0\.5,fd00::5 +fl12ab +ready +42 +02:00:00:00:00:05 +256 +c0ffee$/,
		);
		expect(JSON.parse((await run('ep', 'list', '-n', 'none', '-o', 'json')).out)).toEqual({ endpoints: [] });
	});

	it('lists nodes by name', async () => {
		const { out } = await run('node', 'list');
		expect(out.split('\n').map((line) => line.split(/ +/)[0])).toEqual(['NAME', 'node-a', 'node-b', '']);
	});

	it('lists connections with names, and filters them at the agent', async () => {
		const { out } = await run('ct', 'list');
		expect(out.split('\n')[1]).toBe(
			'tcp     10.1.0.5:40000 (shop/web-1)   10.96.0.3:5432 (data/db)   10.1.1.7:15432   established   1s     10/8      2.0 KiB/4.7 GiB',
		);
		const json = await run('ct', 'list', '-o', 'json', '--protocol', 'udp', '-a', '2001:db8::/32', '-p', '53');
		expect(parseLines(json.out)).toEqual([
			expect.objectContaining({ source: 'fd00::5', snatPort: 61000, idle: 0.01, bytesForward: 70, state: 'new' }),
		]);
		expect(parseLines((await run('ct', 'list', '-o', 'json', '--limit', '1')).out)).toHaveLength(1);
	});

	it('refuses a bad filter with the name of the field', async () => {
		const { code, err } = await run('ct', 'list', '-a', 'nonsense');
		expect(code).toBe(2);
		expect(err).toBe('fairlead: address: expected an IP address or CIDR, got "nonsense"\n');
	});

	it('lists drops, most frequent first, and explains them', async () => {
		const { out } = await run('drops');
		expect(out.split('\n').map((line) => line.split(/ +/).slice(0, 2))).toEqual([
			['REASON', 'PACKETS'],
			['no_route', '5'],
			['no_backend', '2'],
			[''],
		]);
		expect((await run('drops', '--all')).out).toContain('policy');
		expect((await run('drops', '--explain')).out).toContain('fairlead service get NAMESPACE/NAME');
		const { drops } = JSON.parse((await run('drops', '-o', 'json')).out) as { drops: { packets: number }[] };
		expect(drops.map((drop) => drop.packets)).toEqual([2, 5]);
	});

	it('shows the configuration and why', async () => {
		const { out } = await run('config');
		expect(out).toMatch(/^routing +"vxlan" +automatic +nodes are in different subnets$/m);
		expect(JSON.parse((await run('config', '-o', 'json')).out)).toMatchObject({ flowBuffer: { value: 16384 } });
	});
});

describe('fairlead status', () => {
	it('shows a ready agent', async () => {
		const { code, out } = await run('status');
		expect(code).toBe(0);
		expect(out).toMatch(/^Agent: +9\.8\.7, ready$/m);
		expect(out).toMatch(/^Started: +2026-01-31T12:00:00Z \(\d+/m);
		expect(out).toMatch(/^Routing: +vxlan$/m);
		expect(out).toMatch(/^services +12 +1 +\S+ ago +-$/m);
		expect(out).toMatch(/^ct +- +262144 +- +38\.1 MiB$/m);
	});

	it('exits with 5 and tells the problems when the agent is not ready', async () => {
		const problem = { origin: 'a.yaml', object: 'Service shop/web', field: 'spec.ports', message: 'expected a list' };
		agent.change({
			status: () => ({
				...READY,
				ready: false,
				problems: ['uplink eth0 is down'],
				warnings: ['map nat: nearly full'],
				sourceErrors: [problem],
			}),
		});
		const { code, out } = await run('status');
		expect(code).toBe(5);
		expect(out).toContain('NOT READY');
		expect(out).toContain('  - uplink eth0 is down\n');
		expect(out).toContain('Warnings:\n  - map nat: nearly full\n');
		expect(out).toContain('  - a.yaml: Service shop/web: spec.ports: expected a list\n');
	});

	it('gives JSON with times and numbers', async () => {
		const { out } = await run('status', '-o', 'json');
		expect(JSON.parse(out)).toMatchObject({
			version: '9.8.7',
			started: '2026-01-31T12:00:00Z',
			ready: true,
			facts: { routing: 'vxlan' },
			maps: [
				{ name: 'services', entries: 4 },
				{ name: 'ct', capacity: 262144 },
			],
			flows: { capacity: 1000, rateLimited: 3 },
		});
		expect(out).not.toContain('_entries');
	});

	it('reports an error of the agent without hiding it', async () => {
		agent.change({
			status: () => {
				throw new Error('map is gone');
			},
		});
		expect(await run('status')).toMatchObject({ code: 1, err: 'fairlead: the agent could not answer: map is gone\n' });
		expect(agent.complaints).toEqual(['GetStatus: Error: map is gone']);
	});

	it('shows both versions', async () => {
		const own = (await run('--version')).out.trim();
		expect(own).toMatch(/^\d+\.\d+\.\d+/);
		expect((await run('version')).out).toBe(`Client:   ${own}\nAgent:    9.8.7\n`);
		expect((await runCli(['version', '-o', 'json', '--socket', '/nonexistent'])).out).toContain(own);
	});
});

describe('fairlead observe', () => {
	it('prints flows with names in compact form', async () => {
		recordTwo();
		const { code, out, err } = await run('observe');
		expect({ code, err }).toEqual({ code: 0, err: '' });
		expect(out.split('\n')).toEqual([
			'Jan 31 12:00:00.000: shop/web-1:40000 (pod) -> data/db-0:15432 (pod) via data/db:5432 from-pod FORWARDED (TCP Flags: SYN)',
			'Jan 31 12:00:01.000: shop/web-1:40000 (pod) -> 10.9.9.9:8080 (unknown) no_route DROPPED (TCP Flags: PSH, ACK)',
			'',
		]);
	});

	it('prints a table, and addresses on request', async () => {
		recordTwo();
		const { out } = await run('observe', '-o', 'table', '--numeric', '--print-node-name');
		expect(out.split('\n')[0]).toMatch(/^TIMESTAMP +NODE +SOURCE +DESTINATION +VIA +TYPE +VERDICT +SUMMARY$/);
		expect(out.split('\n')[1]).toMatch(/node-a +10\.1\.0\.5:40000 +10\.1\.1\.7:15432 +10\.96\.0\.3:5432 +from-pod/);
	});

	it('prints one JSON object per line', async () => {
		recordTwo();
		const { out } = await run('observe', '-o', 'json');
		const [first, second] = parseLines(out);
		expect(first).toMatchObject({
			flow: {
				time: '2026-01-31T12:00:00Z',
				verdict: 'forwarded',
				kind: 'new',
				direction: 'egress',
				source: { kind: 'pod', namespace: 'shop', name: 'web-1', labels: ['app=web'], port: 40000 },
				originalDestination: { kind: 'service', namespace: 'data', name: 'db' },
			},
		});
		expect(second).toMatchObject({ flow: { dropReason: 'no_route', dropText: expect.any(String) as string } });
	});

	it.each([
		[['--verdict', 'dropped'], 1],
		[['--verdict', 'dropped,forwarded'], 2],
		[['--service', 'data/db'], 1],
		[['--to-pod', 'data/'], 1],
		[['--pod', 'web', '--to-port', '5432'], 1],
		[['--reason', 'no-route'], 1],
		[['--not', 'verdict=dropped', '--not', 'service=data/db'], 0],
		[['--not', 'tcp-flags=psh+ack'], 1],
		[['-l', 'app in (web, db)'], 2],
		[['--protocol', 'udp'], 0],
		[['-6'], 0],
		[['--last', '1'], 1],
		[['--first', '1'], 1],
		[['--since', '2026-01-31T12:00:01Z'], 1],
		[['--until', '2026-01-31T12:00:00Z', '--all'], 1],
		[['--tcp-flags', 'psh+ack'], 1],
	])('filters: %s leaves %i', async (args, count) => {
		recordTwo();
		const { code, out } = await run('observe', '-o', 'json', ...args);
		expect(code).toBe(0);
		expect(out.split('\n').length - 1).toBe(count);
	});

	it('shows the totals of closed flows and losses', async () => {
		agent.flows.record([flowRecord()]);
		agent.flows.recordLoss('kernel-ring', 12);
		const closed = { type: EventType.FLOW_CLOSE, proto: L4Proto.TCP, packets: [3, 2], bytes: [4096n, 100n] };
		agent.flows.record([flowRecord(closed)]);
		const { out, err } = await run('observe', '--all');
		expect(out).toContain('closed FORWARDED (TCP closed, 3/2 packets, 4.0 KiB/100 B)');
		expect(err).toBe('EVENTS LOST: 12 (the ring in the kernel was full)\n');
		expect(parseLines((await run('observe', '--all', '-o', 'json')).out)[1]).toMatchObject({
			lost: { source: 'kernel-ring', count: 12 },
		});
	});

	it('follows live flows until it is interrupted', async () => {
		recordTwo();
		const cli = startCli(['observe', '-f', '--last', '1', '--pod', 'shop/web'], { socketPath: agent.socketPath });
		await cli.printed('no_route');
		agent.flows.record([flowRecord({ sport: 50001 })]);
		await cli.printed('web-1:50001');
		agent.flows.record([flowRecord({ src: '10.1.1.7', dst: '10.1.1.8', sport: 50002 }), flowRecord({ sport: 50003 })]);
		await cli.printed('web-1:50003');
		cli.child.kill('SIGINT');
		const { code, out, err } = await cli.ended;
		expect({ code, err }).toEqual({ code: 0, err: '' });
		expect(out).not.toContain('50002');
		expect(agent.flows.stats().subscribers).toBe(0);
	});

	it('ends with an error when the agent goes away', async () => {
		const cli = startCli(['observe', '-f'], { socketPath: agent.socketPath });
		while (agent.flows.stats().subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 20));
		await agent.stop();
		expect(await cli.ended).toMatchObject({ code: 3, err: expect.stringContaining('closed the connection') as string });
		agent = await startFakeAgent();
	});

	it('ends quietly when the reader of its output has seen enough', async () => {
		for (let i = 0; i < 900; i++) agent.flows.record([flowRecord({ sport: i + 1 })]);
		const script = `set -o pipefail; "${NODE}" "${CLI}" observe --all | head -1`;
		const env = { ...process.env, FAIRLEAD_SOCKET: agent.socketPath };
		const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script], { env, timeout: 60_000 });
		expect(stderr).toBe('');
		expect(stdout.split('\n')).toHaveLength(2);
	});

	it.each([
		[['--verdict', 'lost'], 'Expected one of forwarded, dropped, error, translated'],
		[['--port', '99999'], 'Expected a port from 1 to 65535'],
		[['--since', 'yesterday'], 'Expected a duration such as 5m'],
		[['--not', 'colour=red'], 'Expected FIELD=VALUE'],
		[['-f', '-o', 'table'], 'not possible with --follow'],
		[['-f', '--first', '3'], 'cannot be used with'],
		[['--ip', 'nonsense'], 'fairlead: --ip: expected an IP address or CIDR, got "nonsense"'],
		[['--from-pod', 'a/b/c'], 'fairlead: --from-pod: expected '],
		[['--tcp-flags', 'fun'], 'fairlead: --tcp-flags: expected '],
		[['--not', 'to-ip=10.0.0.0/40'], 'fairlead: --not to-ip: expected an IP address or CIDR'],
		[['--reason', 'bad-luck'], 'fairlead: --reason: expected a drop reason'],
		[['--port', 'http'], 'Expected a port from 1 to 65535'],
		[['--last', '0'], 'Expected a number, 1 or more'],
		[['--last', '5', '--since', '1m'], 'cannot be used with'],
		[['--bogus'], "unknown option '--bogus'"],
	])('refuses %s with exit code 2', async (args, message) => {
		const { code, out, err } = await run('observe', ...args);
		expect(code).toBe(2);
		expect(out).toBe('');
		expect(err).toContain(message);
	});
});

describe('fairlead without an agent', () => {
	it.each([
		['there is no socket', () => join(tmpdir(), 'fairlead-none.sock'), 'ENOENT'],
		['the socket is a plain file', () => plainFile(), 'ECONNREFUSED'],
	])('says what to do when %s', async (_title, path, errno) => {
		const { code, out, err } = await runCli(['status', '--socket', path()]);
		expect({ code, out }).toEqual({ code: 3, out: '' });
		expect(err).toMatch(/^fairlead: cannot reach the agent at /);
		expect(err).toContain(errno);
	});

	it('prefers --socket to FAIRLEAD_SOCKET', async () => {
		const { code } = await runCli(['status', '--socket', agent.socketPath], { socketPath: '/nonexistent' });
		expect(code).toBe(0);
	});

	it('says that a user was refused', async () => {
		await agent.stop();
		agent = await startFakeAgent({ peerCredentials: () => ({ pid: 77, uid: 1000, gid: 1000 }) });
		const { code, err } = await run('node', 'list');
		expect(code).toBe(3);
		expect(err).toContain('only root may');
		expect(agent.complaints[0]).toBe('uid 1000 (pid 77) is not allowed');
	});

	it('prints help and refuses unknown commands with exit code 2', async () => {
		expect((await runCli(['--help'])).code).toBe(0);
		expect((await runCli(['help', 'observe'])).out).toContain('--follow');
		expect((await runCli(['bogus'])).code).toBe(2);
		expect((await runCli([])).code).toBe(2);
	});
});

let scratch: string | undefined;
afterEach(() => {
	if (scratch !== undefined) rmSync(scratch, { recursive: true });
	scratch = undefined;
});

function scratchDir(): string {
	scratch = mkdtempSync(join(tmpdir(), 'fairlead-cli-'));
	return scratch;
}

/** A path on which connect() fails with ECONNREFUSED. */
function plainFile(): string {
	const path = join(scratchDir(), 'file.sock');
	writeFileSync(path, '');
	return path;
}

describe('fairlead completion', () => {
	/** What bash has as replies after typing the line and TAB. Words are split as readline does. */
	async function complete(line: string, socketPath = agent.socketPath): Promise<string[]> {
		const dir = scratchDir();
		const bin = join(dir, 'fairlead');
		writeFileSync(bin, `#!/bin/sh\nexec "${NODE}" "${CLI}" "$@"\n`);
		chmodSync(bin, 0o755);
		const words = line.split(/ +|(?==)|(?<==)/);
		const script = `
			source <(fairlead completion bash)
			source <(fairlead completion bash)
			COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
			handler=$(complete -p fairlead | sed -E 's/.*-F ([^ ]+).*/\\1/')
			"$handler" fairlead "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
			printf '%s\\n' "\${COMPREPLY[@]}"`;
		const env = { ...process.env, PATH: `${dir}:${process.env.PATH ?? ''}`, FAIRLEAD_SOCKET: socketPath };
		const args = ['--norc', '-c', script, 'bash', ...words];
		const { stdout, stderr } = await promisify(execFile)('bash', args, { env, timeout: 60_000 });
		expect(stderr).toBe('');
		return stdout.split('\n').filter((reply) => reply !== '');
	}

	it.each([
		['fairlead ser', ['service']],
		['fairlead service ', ['list', 'get', 'help']],
		['fairlead svc l', ['list']],
		['fairlead observe --fol', ['--follow']],
		['fairlead --so', ['--socket']],
		['fairlead service list -o ', ['table', 'wide', 'json']],
		['fairlead service list --output=j', ['json']],
		['fairlead service list --output=', ['table', 'wide', 'json']],
		['fairlead observe --verdict dropped,for', ['dropped,forwarded']],
		['fairlead observe -f --verdict d', ['dropped']],
		['fairlead observe --port ', []],
		['fairlead completion ', ['bash', 'zsh', 'fish']],
		['fairlead service get ', ['data/db', 'shop/web']],
		['fairlead service get sh', ['shop/web']],
		['fairlead service get shop/web ', []],
		['fairlead observe --to-pod ', ['shop/web-1']],
		['fairlead ep list -n ', ['data', 'shop']],
		['fairlead observe --reason no_b', ['no_backend']],
		['fairlead nonsense ', 'commands'],
	])('offers after %j in bash: %j', async (line, expected) => {
		const replies = await complete(line);
		if (expected === 'commands') expect(replies).toContain('status');
		else expect(replies.sort()).toEqual([...(expected as string[])].sort());
	});

	it('offers nothing and prints nothing when the agent is away', async () => {
		expect(await complete('fairlead service get ', '/nonexistent')).toEqual([]);
	});

	it('runs nothing that stands on the line', async () => {
		const marker = join(tmpdir(), `fairlead-completed-${process.pid}`);
		await complete(`fairlead observe --pod $(touch ${marker}) --verd`);
		await complete(`fairlead observe --pod \`touch ${marker}\` --verd`);
		expect(existsSync(marker)).toBe(false);
	});

	it.each(['bash', 'zsh', 'fish'])('prints a script for %s', async (shell) => {
		const { code, out } = await runCli(['completion', shell]);
		expect(code).toBe(0);
		expect(out).toContain('fairlead __complete --');
	});

	it('completes --option=value as one word, as zsh and fish pass it', async () => {
		expect((await run('__complete', '--', 'service', 'list', '--output=w')).out).toBe('--output=wide\n');
	});
});
