import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterChange } from '../../model/cluster-view.ts';
import { ClusterStore } from '../store.ts';
import { FilesSource } from './files-source.ts';
import type { FileProblem } from './load.ts';

const service = (name: string, port: number | string = 80) =>
	`apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: 10.96.0.1, ports: [{port: ${port}}]}\n`;

let directory = '';
let source: FilesSource | undefined;
let problems: readonly FileProblem[] = [];
let store = new ClusterStore();

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'fl-files-'));
	store = new ClusterStore();
	problems = [];
});

afterEach(() => {
	source?.close();
	rmSync(directory, { recursive: true, force: true });
});

function write(name: string, text: string): void {
	writeFileSync(join(directory, name), text);
}

async function start(over: { debounceMs?: number; pollMs?: number } = {}): Promise<FilesSource> {
	source = new FilesSource({
		directory,
		store,
		onProblems: (list) => (problems = list),
		debounceMs: 5,
		pollMs: 60_000,
		...over,
	});
	await source.start();
	return source;
}

async function until(condition: () => boolean): Promise<void> {
	const end = Date.now() + 5000;
	while (!condition()) {
		if (Date.now() > end) throw new Error('condition not reached in 5 s');
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}

const names = (): string[] => [...store.services.keys()].sort();

describe('FilesSource', () => {
	it('reads all YAML and JSON files of the directory before it counts as synced', async () => {
		write('a.yaml', service('a'));
		write('b.json', JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } }));
		write('notes.txt', service('not-read'));
		write('.hidden.yaml', service('not-read-either'));
		expect(store.synced).toBe(false);
		await start();
		expect(store.synced).toBe(true);
		expect(names()).toEqual(['default/a']);
		expect([...store.nodes.keys()]).toEqual(['n']);
	});

	it('keeps what a file held while it is empty: somebody is writing it', async () => {
		write('a.yaml', service('a'));
		const files = await start();
		write('a.yaml', '');
		await files.rescan();
		expect(names()).toEqual(['default/a']);
		expect(problems).toMatchObject([{ file: 'a.yaml', keptLastGood: true }]);
		write('a.yaml', service('b'));
		await files.rescan();
		expect(names()).toEqual(['default/b']);
		expect(problems).toEqual([]);
		write('a.yaml', '# nothing\n');
		await files.rescan();
		expect(names()).toEqual([]);
	});

	it('fails to start on a directory that is not there, saying what to set', async () => {
		directory = join(directory, 'missing');
		await expect(start()).rejects.toMatchObject({
			code: 'SOURCE_UNREADABLE',
			message: expect.stringContaining('ENOENT'),
		});
	});

	it('follows files that are written, replaced by rename and deleted', async () => {
		await start();
		write('a.yaml', service('a'));
		await until(() => names().includes('default/a'));
		write('.tmp', service('a2'));
		renameSync(join(directory, '.tmp'), join(directory, 'a.yaml'));
		await until(() => names().join() === 'default/a2');
		rmSync(join(directory, 'a.yaml'));
		await until(() => names().length === 0);
	});

	it('follows the symbolic link swap of a mounted ConfigMap', async () => {
		const version = (n: number): void => {
			mkdirSync(join(directory, `..v${n}`));
			write(`..v${n}/svc.yaml`, service(`v${n}`));
			symlinkSync(`..v${n}`, join(directory, '..data_tmp'));
			renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
		};
		version(1);
		symlinkSync('..data/svc.yaml', join(directory, 'svc.yaml'));
		await start();
		expect(names()).toEqual(['default/v1']);
		version(2);
		await until(() => names().join() === 'default/v2');
	});

	it('finds by polling what a link target outside the directory says', async () => {
		const outside = mkdtempSync(join(tmpdir(), 'fl-files-target-'));
		try {
			writeFileSync(join(outside, 's.yaml'), service('one'));
			symlinkSync(join(outside, 's.yaml'), join(directory, 's.yaml'));
			await start({ pollMs: 20 });
			writeFileSync(join(outside, 's.yaml'), service('another'));
			await until(() => names().join() === 'default/another');
		} finally {
			rmSync(outside, { recursive: true });
		}
	});

	it('keeps a good object when its file goes bad, reports it, and reports its recovery', async () => {
		write('a.yaml', service('a'));
		write('b.yaml', service('b'));
		const files = await start();
		write('a.yaml', service('a', 'http'));
		write('b.yaml', service('b', 81));
		await files.rescan();
		expect(store.services.get('default/a')!.ports[0]!.port).toBe(80);
		expect(store.services.get('default/b')!.ports[0]!.port).toBe(81);
		expect(problems).toMatchObject([
			{ file: 'a.yaml', object: 'Service default/a', path: 'spec.ports[0].port', keptLastGood: true },
		]);
		write('a.yaml', service('a', 82));
		await files.rescan();
		expect(problems).toEqual([]);
	});

	it('lets the first file in name order count when two name one object', async () => {
		write('b.yaml', service('x', 81));
		write('a.yaml', service('x', 80));
		const files = await start();
		expect(store.services.get('default/x')!.ports[0]!.port).toBe(80);
		expect(problems).toMatchObject([{ file: 'b.yaml', message: 'is also in a.yaml, which counts' }]);
		rmSync(join(directory, 'a.yaml'));
		await files.rescan();
		expect(store.services.get('default/x')!.ports[0]!.port).toBe(81);
	});

	it('keeps everything in force while the directory is away, and follows its successor', async () => {
		write('a.yaml', service('a'));
		const files = await start({ pollMs: 20 });
		renameSync(directory, `${directory}.old`);
		await files.rescan();
		expect(names()).toEqual(['default/a']);
		expect(problems).toMatchObject([{ object: 'directory', keptLastGood: true }]);
		rmSync(`${directory}.old`, { recursive: true });
		mkdirSync(directory);
		write('b.yaml', service('b'));
		await until(() => names().join() === 'default/b');
		expect(problems).toEqual([]);
	});

	it('tells only of objects that changed, in one notification per burst', async () => {
		for (const name of ['a', 'b', 'c']) write(`${name}.yaml`, service(name));
		const files = await start();
		await new Promise((resolve) => setImmediate(resolve));
		const changes: ClusterChange[] = [];
		store.onChange((change) => changes.push(change));
		write('a.yaml', service('a', 81));
		write('b.yaml', service('b', 81));
		write('c.yaml', `# another stamp, the same object\n${service('c')}`);
		await files.rescan();
		await until(() => changes.length > 0);
		expect(changes.map(({ services }) => [...services].sort())).toEqual([['default/a', 'default/b']]);
	});

	it('does nothing more after it was closed', async () => {
		const files = await start({ pollMs: 5 });
		files.close();
		write('a.yaml', service('a'));
		await new Promise((resolve) => setTimeout(resolve, 60));
		expect(names()).toEqual([]);
	});
});
