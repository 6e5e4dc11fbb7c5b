/**
 * Writes proto/generated/ from the .proto files: `node proto/generate.ts [OUTPUT-DIRECTORY]`. The result is committed; a test
 * generates again and compares. At run time the .proto files themselves are loaded (see load.ts): the generated
 * files are types and enum names only.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const PROTOS = ['fairlead/v1/agent.proto', 'hubble/observer/observer.proto', 'grpc/health/v1/health.proto'];

/** Replaces the content of a directory. The options must fit LOAD_OPTIONS in load.ts. */
export function generate(outDir: string): void {
	rmSync(outDir, { recursive: true, force: true });
	const loader = createRequire(import.meta.url).resolve('@grpc/proto-loader/package.json');
	const args = ['--longs=Number', '--enums=String', '--defaults', '--oneofs', '--includeComments'];
	args.push('--grpcLib=@grpc/grpc-js', '--importFileExtension=.ts', `--includeDirs=${here}`, `--outDir=${outDir}`);
	const tool = join(loader, '../build/bin/proto-loader-gen-types.js');
	execFileSync(process.execPath, [tool, ...args, ...PROTOS], { stdio: ['ignore', 'ignore', 'inherit'] });
	for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
		if (entry.isFile()) makePortable(join(entry.parentPath, entry.name));
	}
}

/** The tool writes absolute paths into comments. */
function makePortable(file: string): void {
	const text = readFileSync(file, 'utf8').replaceAll(`Original file: ${here}`, 'Original file: proto/');
	writeFileSync(file, text.replaceAll('Original file: null', 'Original file: of protobuf'));
}

if (import.meta.main) generate(process.argv[2] ?? join(here, 'generated'));
