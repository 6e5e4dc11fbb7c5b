import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { FileContent } from './load.ts';
import { formatFileProblem, loadFile, splitDocuments } from './load.ts';

const web = (port: number | string) => `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.1, ports: [{port: ${port}}]}
`;
const db = web(5432).replace('web', 'db').replace('10.96.0.1', '10.96.0.2');

const slice = (apiVersion: string) => `apiVersion: ${apiVersion}
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
`;

function load(text: string, previous?: FileContent): FileContent {
	return loadFile('all.yaml', text, previous);
}

function names(content: FileContent): string[] {
	return [...content.objects.keys()];
}

function portOf(content: FileContent, identity: string): number | undefined {
	const object = content.objects.get(identity);
	return object?.kind === 'Service' ? object.value.ports[0]?.port : undefined;
}

describe('loadFile', () => {
	it('reads documents, lists and typed lists', () => {
		const list = stringify({
			apiVersion: 'v1',
			kind: 'List',
			items: [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } }],
		});
		const nodes = stringify({ apiVersion: 'v1', kind: 'NodeList', items: [{ metadata: { name: 'n' } }] });
		const content = load([web(80), db, list, nodes].join('---\n'));
		expect(names(content)).toEqual(['Service default/web', 'Service default/db', 'Namespace a', 'Node n']);
		expect(content.problems).toEqual([]);
	});

	it('ignores other kinds and other API groups of the same kind, and tells which', () => {
		const other = 'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\n';
		const content = load(`apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n${other}`);
		expect(content.objects.size + content.problems.length).toBe(0);
		expect(content.ignored).toEqual(['apps/v1 Deployment d', 'serving.knative.dev/v1 Service x']);
	});

	it('names the version it reads, where another one of the same kind is given', () => {
		const good = load(slice('discovery.k8s.io/v1'));
		const content = load(slice('discovery.k8s.io/v1beta1'), good);
		expect(content.problems.map(formatFileProblem)).toEqual([
			'all.yaml:1: EndpointSlice default/web-1: apiVersion: expected "discovery.k8s.io/v1", got "discovery.k8s.io/v1beta1"; the last good version stays in force',
		]);
		expect(names(content)).toEqual(['EndpointSlice default/web-1']);
		expect(load('apiVersion: v2\nkind: Service\nmetadata: {name: x}').problems[0]!.path).toBe('apiVersion');
	});

	it('names the line of the file at which a later document stops being YAML', () => {
		expect(load(`${db}---\n# here\nkind: Service\n\tname: x\n`).problems.map(formatFileProblem)).toEqual([
			'all.yaml:8: document: Tabs are not allowed as indentation, column 1',
		]);
	});

	it('names file, line, object and field of a fault, and reads everything else', () => {
		const content = load(`${db}---\n${web('http')}`);
		expect(content.problems.map(formatFileProblem)).toEqual([
			'all.yaml:5: Service default/web: spec.ports[0].port: expected a number, got "http"',
		]);
		expect(names(content)).toEqual(['Service default/db']);
	});

	it('keeps the last good version of an object whose document went bad', () => {
		const good = load(`${web(80)}---\n${db}`);
		const bad = load(`${web('http')}---\n${db.replace('5432', '5433')}`, good);
		expect(portOf(bad, 'Service default/web')).toBe(80);
		expect(portOf(bad, 'Service default/db')).toBe(5433);
		expect(bad.problems.map(formatFileProblem)).toEqual([
			'all.yaml:1: Service default/web: spec.ports[0].port: expected a number, got "http"; the last good version stays in force',
		]);
		const repaired = load(`${web(81)}---\n${db}`, bad);
		expect(portOf(repaired, 'Service default/web')).toBe(81);
		expect(repaired.problems).toEqual([]);
	});

	it('keeps a last good version over several bad ones, and drops it when the document is taken out', () => {
		let content = load(web(80));
		for (const port of ['x', 'y']) content = load(web(port), content);
		expect(portOf(content, 'Service default/web')).toBe(80);
		expect(names(load(db, content))).toEqual(['Service default/db']);
	});

	it('has nothing to keep for an object that was never good', () => {
		const content = load(web('http'));
		expect(names(content)).toEqual([]);
		expect(content.problems[0]!.keptLastGood).toBe(false);
	});

	it('reads what follows a document that is no YAML, and keeps what that document held', () => {
		const good = load(`${web(80)}---\n${db}`);
		const bad = load(`kind: [Service\n---\n${db}`, good);
		expect(names(bad).sort()).toEqual(['Service default/db', 'Service default/web']);
		expect(bad.problems).toHaveLength(1);
		expect(bad.problems[0]).toMatchObject({ object: 'document', line: 1, keptLastGood: true });
	});

	it('takes the first of two documents with one name, and says so', () => {
		const content = load(`${web(80)}---\n${web(81)}`);
		expect(portOf(content, 'Service default/web')).toBe(80);
		expect(content.problems[0]!.message).toContain('twice');
	});

	it('reads JSON documents, and flow mappings that are not quite JSON', () => {
		const json = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } });
		expect(names(load(`${json}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}`))).toEqual([
			'Namespace a',
			'Namespace b',
		]);
	});

	it('asks for kind and apiVersion', () => {
		expect(load('metadata: {name: x}').problems[0]).toMatchObject({ path: 'kind' });
		expect(load('kind: Service').problems[0]).toMatchObject({ path: 'apiVersion' });
		expect(load('just text').problems.map(formatFileProblem)).toEqual([
			'all.yaml:1: document: expected a Kubernetes object, got "just text"',
		]);
	});

	it('reads an empty file, comments and separators as nothing', () => {
		for (const text of ['', '# only\n', '---\n---\n', '%YAML 1.2\n---\n# x\n...\n', 'null\n']) {
			expect(load(text)).toMatchObject({ problems: [] });
			expect(names(load(text))).toEqual([]);
		}
	});

	it('parses only documents that changed', () => {
		const before = load(`${web(80)}---\n${db}`);
		const after = load(`${web(81)}---\n${db}`, before);
		expect(after.objects.get('Service default/db')).toBe(before.objects.get('Service default/db'));
	});

	it('refuses alias bombs and absurd nesting as faults of their document', () => {
		const bomb = [
			'a: &a [x,x,x,x,x,x,x,x,x]',
			...'bcdefgh'.split('').map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`),
		].join('\n');
		expect(load(`${bomb}\n---\n${db}`).problems).toHaveLength(1);
		const deep = `a: ${'['.repeat(5000)}${']'.repeat(5000)}`;
		const content = load(`${deep}\n---\n${db}`);
		expect(names(content)).toEqual(['Service default/db']);
	});

	it('never throws, whatever the text', () => {
		const yamlish = fc.string({
			unit: fc.constantFrom(
				'a',
				':',
				' ',
				'\n',
				'-',
				'[',
				']',
				'{',
				'}',
				'&',
				'*',
				'!',
				'"',
				"'",
				'|',
				'>',
				'%',
				'@',
				'\t',
				'\u0000',
				'---\n',
				'kind: ',
				'Service',
				'apiVersion: v1\n',
			),
		});
		fc.assert(
			fc.property(fc.oneof(fc.string(), yamlish), fc.oneof(fc.string(), yamlish), (first, second) => {
				load(second, load(first));
			}),
			{ numRuns: 500 },
		);
	});

	it('never throws, whatever the object, and always says why it does not use it', () => {
		const kind = fc.constantFrom(
			['v1', 'Service'],
			['discovery.k8s.io/v1', 'EndpointSlice'],
			['v1', 'Pod'],
			['v1', 'Node'],
			['v1', 'Namespace'],
			['v1', 'List'],
		);
		const part = fc.jsonValue({ maxDepth: 3 });
		const object = fc.tuple(
			kind,
			fc.dictionary(
				fc.constantFrom('metadata', 'spec', 'status', 'endpoints', 'ports', 'addressType', 'items', '__proto__'),
				part,
			),
		);
		fc.assert(
			fc.property(object, ([[apiVersion, kindName], rest]) => {
				const content = load(stringify({ ...rest, apiVersion, kind: kindName }));
				const items = kindName === 'List' ? rest.items : undefined;
				if (kindName !== 'List' || (Array.isArray(items) && items.some((item) => item !== null))) {
					expect(content.objects.size + content.problems.length + content.ignored.length).toBeGreaterThan(0);
				}
			}),
			{ numRuns: 500 },
		);
	});
});

describe('splitDocuments', () => {
	it('knows the line each document starts at', () => {
		expect(splitDocuments('# head\n---\na: 1\n---\n\nb: 2\n').map(({ line }) => line)).toEqual([2, 4]);
	});

	it('does not split inside a text that only looks like a separator', () => {
		expect(splitDocuments('a: |\n  ---\n  b\n')).toHaveLength(1);
		expect(splitDocuments('a: "----"\n----x\n')).toHaveLength(1);
	});
});
