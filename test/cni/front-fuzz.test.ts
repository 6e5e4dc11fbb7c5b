/**
 * The CNI executable on inputs that no runtime sends: whatever it is given, it ends by itself, with a result or with an
 * error object of the specification on stdout. Seeded, so that a failure can be repeated: FAIRLEAD_FUZZ_SEED=n.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const SEED = Number(process.env.FAIRLEAD_FUZZ_SEED ?? 20261121);
const dir = mkdtempSync(join(tmpdir(), 'flcnifuzz-'));

beforeAll(() => {
	execFileSync(join(ROOT, 'scripts/build-cni.sh'), { timeout: 120_000 });
	execFileSync(join(ROOT, 'scripts/build-cni.sh'), ['--asan'], { timeout: 120_000 });
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** mulberry32 */
function randomOf(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), state | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

const VALID = (): string =>
	JSON.stringify({
		cniVersion: '1.1.0',
		name: 'fairlead',
		type: 'fairlead-cni',
		socketPath: join(dir, 'none.sock'),
		spoolDir: join(dir, 'spool'),
		addTimeoutMs: 100,
		delTimeoutMs: 100,
		runtimeConfig: { portMappings: [{ hostPort: 1, nested: [[[{ a: 'ü\u0001\ud83d\ude00' }]]] }] },
		numbers: [0, -1, 1.5e10, 1e-7, true, false, null],
	});

const TOKENS = [
	'{',
	'}',
	'[',
	']',
	',',
	':',
	'"',
	'\\',
	'\\u',
	'\\ud800',
	'\\u0000',
	'\0',
	'-',
	'0',
	'1e',
	'.5',
	'true',
	'nul',
	'ÿ',
	' ',
];

class Fuzzer {
	readonly #random: () => number;
	constructor(seed: number) {
		this.#random = randomOf(seed);
	}

	#below(n: number): number {
		return Math.floor(this.#random() * n);
	}

	#pick<T>(of: readonly T[]): T {
		return of[this.#below(of.length)] as T;
	}

	#bytes(n: number): Buffer {
		return Buffer.from(Array.from({ length: n }, () => this.#below(256)));
	}

	stdin(): Buffer {
		const valid = Buffer.from(VALID());
		switch (this.#below(8)) {
			case 0:
				return this.#bytes(this.#below(300));
			case 1:
				return valid.subarray(0, this.#below(valid.length));
			case 2:
				return this.#flip(valid);
			case 3:
				return Buffer.from(Array.from({ length: this.#below(200) }, () => this.#pick(TOKENS)).join(''));
			case 4:
				return Buffer.from(this.#pick(['{"a":', '[', '{"cniVersion":[']).repeat(1 + this.#below(400)));
			case 5:
				return Buffer.from(VALID().replace('fairlead', this.#pick(['x', 'y\\u0000']).repeat(1 + this.#below(3000))));
			case 6:
				return Buffer.from(
					VALID().replace(
						/"addTimeoutMs":\d+/,
						`"addTimeoutMs":${this.#pick(['-1', '99999999999999999999', '"x"', '1.5', 'null', '{}'])}`,
					),
				);
			default:
				return valid;
		}
	}

	#flip(bytes: Buffer): Buffer {
		const copy = Buffer.from(bytes);
		for (let i = 1 + this.#below(8); i > 0; i--) copy[this.#below(copy.length)] = this.#below(256);
		return copy;
	}

	#text(): string {
		const length = this.#pick([0, 1, 3, 15, 16, 200, 5000]);
		return Array.from({ length }, () => String.fromCharCode(1 + this.#below(this.#pick([127, 127, 0x2ff])))).join('');
	}

	env(): Record<string, string> {
		const env: Record<string, string> = {
			CNI_COMMAND: this.#pick(['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION', 'DEL', 'add', this.#text()]),
			CNI_CONTAINERID: this.#pick(['c1', 'c1', this.#text()]),
			CNI_IFNAME: this.#pick(['eth0', 'eth0', this.#text(), '..']),
			CNI_NETNS: this.#pick(['/proc/self/ns/net', '/none', this.#text()]),
			CNI_PATH: this.#pick(['/opt/cni/bin', this.#text()]),
			CNI_ARGS: this.#text(),
			TRACEPARENT: this.#text(),
			[`CNI_${this.#text().replaceAll(/[=\0]/g, '')}`]: this.#text(),
			[this.#text().replaceAll(/[=\0]/g, '') || 'X']: this.#text(),
		};
		for (const key of Object.keys(env)) if (this.#below(6) === 0) delete env[key];
		return env;
	}
}

function judge(binary: string, fuzzer: Fuzzer, label: string): void {
	const env = fuzzer.env();
	const input = fuzzer.stdin();
	const run = spawnSync(binary, {
		env: { ...env, ASAN_OPTIONS: 'detect_leaks=0' },
		input,
		timeout: 60_000,
		encoding: 'utf8',
	});
	const what = `${label}: env ${JSON.stringify(env)} stdin ${JSON.stringify(input.toString('latin1'))} stderr ${run.stderr}`;
	expect(run.signal, what).toBeNull();
	expect(run.stderr, what).toBe('');
	if (run.status === 0) {
		if (env.CNI_COMMAND === 'VERSION') expect(JSON.parse(run.stdout).supportedVersions, what).toHaveLength(4);
		else expect([env.CNI_COMMAND, run.stdout], what).toEqual(['DEL', '']);
		return;
	}
	expect(run.status, what).toBe(1);
	const error = JSON.parse(run.stdout) as { cniVersion: string; code: number; msg: string };
	expect(['0.3.1', '0.4.0', '1.0.0', '1.1.0'], what).toContain(error.cniVersion);
	expect([1, 4, 5, 6, 7, 8, 11, 50], what).toContain(error.code);
	expect(error.msg.length, what).toBeGreaterThan(0);
}

describe('the CNI executable', () => {
	it('ends with a result or an error object on 400 random environments and inputs', () => {
		const fuzzer = new Fuzzer(SEED);
		for (let i = 0; i < 400; i++) judge(join(ROOT, 'dist/cni/fairlead-cni'), fuzzer, `seed ${SEED} run ${i}`);
	});

	it('does the same under AddressSanitizer and UBSan on 200', () => {
		const fuzzer = new Fuzzer(SEED + 1);
		for (let i = 0; i < 200; i++) judge(join(ROOT, 'build/cni/fairlead-cni-asan'), fuzzer, `seed ${SEED + 1} run ${i}`);
	});

	it('accepts and refuses the same JSON as JSON.parse', () => {
		const random = randomOf(SEED + 2);
		const pick = () => TOKENS[Math.floor(random() * TOKENS.length)] ?? '';
		const texts = Array.from(
			{ length: 150 },
			() => `{"cniVersion":"9","a":${Array.from({ length: 1 + random() * 6 }, pick).join('')}}`,
		);
		texts.push(
			'{"cniVersion":"9","a":[{},[],{"b":[1,2]}]}',
			'{"cniVersion":"9","a":01}',
			'{"cniVersion":"9","a":"\\u00e9\\n"} x',
		);
		for (const text of texts) {
			const env = { CNI_COMMAND: 'STATUS' };
			const run = spawnSync(join(ROOT, 'dist/cni/fairlead-cni'), {
				env,
				input: text,
				timeout: 60_000,
				encoding: 'utf8',
			});
			const valid = isJson(text);
			// 1 = the version is wrong, so the text was read; 6 = it is no JSON
			expect((JSON.parse(run.stdout) as { code: number }).code, JSON.stringify(text)).toBe(valid ? 1 : 6);
		}
	});
});

function isJson(text: string): boolean {
	try {
		JSON.parse(text);
		return true;
	} catch {
		return false;
	}
}
