/** How `fairlead-agent` starts: main.ts replaces its process by run.ts, from source as bundled. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bundleAll } from '../../scripts/bundle.ts';

const ROOT = join(import.meta.dirname, '../..');
const NODE = join(ROOT, 'node_modules/.bin/node');
/** In place of run.ts: says what it was started with. */
const REPORT = `console.log(JSON.stringify({
	pid: process.pid, flags: process.execArgv, args: process.argv.slice(2), gc: typeof gc, arenas: process.env.MALLOC_ARENA_MAX,
}));`;

let dir: string;
beforeEach(() => {
	dir = mkdtempSync(join(tmpdir(), 'fairlead-start-'));
	writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Started {
	readonly pid: number | undefined;
	readonly out: string;
	readonly err: string;
}

async function start(args: readonly string[], env: Record<string, string> = {}): Promise<Started> {
	const child = spawn(NODE, args, { env: { ...process.env, ...env }, timeout: 60_000 });
	let [out, err] = ['', ''];
	child.stdout.on('data', (data: Buffer) => {
		out += data.toString();
	});
	child.stderr.on('data', (data: Buffer) => {
		err += data.toString();
	});
	await once(child, 'close');
	return { pid: child.pid, out, err };
}

describe('the start of the agent', () => {
	it('goes on in the same process with a small heap, without a word on standard error', async () => {
		copyFileSync(join(ROOT, 'agent/main.ts'), join(dir, 'main.ts'));
		writeFileSync(join(dir, 'run.ts'), REPORT);
		const { pid, out, err } = await start([join(dir, 'main.ts'), '--vni', '7']);
		expect(err).toBe('');
		expect(JSON.parse(out)).toEqual({
			pid,
			flags: ['--max-semi-space-size=1', '--v8-pool-size=1', '--expose-gc'],
			args: ['--vni', '7'],
			gc: 'function',
			arenas: '1',
		});
	});

	it('keeps what the caller has set for V8 and malloc', async () => {
		copyFileSync(join(ROOT, 'agent/main.ts'), join(dir, 'main.ts'));
		writeFileSync(join(dir, 'run.ts'), REPORT);
		const { out } = await start(['--max-semi-space-size=8', join(dir, 'main.ts')], { MALLOC_ARENA_MAX: '3' });
		const { flags, arenas } = JSON.parse(out) as { flags: string[]; arenas: string };
		expect(flags.at(-1)).toBe('--max-semi-space-size=8');
		expect(arenas).toBe('3');
	});

	it('goes on in the process as it is where it cannot be replaced', async () => {
		copyFileSync(join(ROOT, 'agent/main.ts'), join(dir, 'main.ts'));
		writeFileSync(join(dir, 'run.ts'), REPORT);
		writeFileSync(join(dir, 'old-node.mjs'), 'process.execve = undefined;');
		const { out, err } = await start(['--import', join(dir, 'old-node.mjs'), join(dir, 'main.ts'), '--vni', '7']);
		expect(err).toBe('');
		expect(JSON.parse(out)).toMatchObject({ gc: 'undefined', args: ['--vni', '7'] });
	});
});

describe('the bundles', () => {
	it('hold all that the agent and the CLI import', async () => {
		const programs = join(dir, 'dist');
		await bundleAll(programs);
		writeFileSync(join(dir, 'package.json'), '{ "type": "module", "version": "7.8.9" }');
		const cli = await start([join(programs, 'cli/main.js'), '--version']);
		expect(cli).toMatchObject({ out: '7.8.9\n', err: '' });
		// The addon is the first thing that the agent looks for outside of its bundle.
		const agent = await start([join(programs, 'agent/main.js'), '--version']);
		expect(agent.err).toContain(join(dir, 'native/build/Release/fairlead.node'));
	}, 120_000);
});
