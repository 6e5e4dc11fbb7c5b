/**
 * Writes native/abi/generated.ts from bpf/abi and bpf/maps (`npm run gen`). Needs clang-19; changes nothing else.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from '../native/abi/generate.ts';
import { compileBpf } from './build-bpf.ts';

const ROOT = join(import.meta.dirname, '..');

/** The committed file. */
export const GENERATED = join(ROOT, 'native/abi/generated.ts');

/** Compiles the shared headers and returns the text generated.ts should have. */
export async function regenerate(): Promise<string> {
	const directory = await mkdtemp(join(tmpdir(), 'fairlead-gen-'));
	try {
		const object = async (source: string, name: string): Promise<Uint8Array> => {
			const output = join(directory, name);
			await compileBpf({ source: join(ROOT, source), output });
			return readFileSync(output);
		};
		return generate({
			abi: await object('bpf/abi/abi.bpf.c', 'abi.o'),
			maps: await object('bpf/maps/maps.bpf.c', 'maps.o'),
		});
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
}

if (import.meta.main) {
	try {
		writeFileSync(GENERATED, await regenerate());
	} catch (error) {
		console.error(error instanceof Error ? error.message : error);
		process.exitCode = 1;
	}
}
