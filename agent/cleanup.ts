/**
 * What `fairlead cleanup` runs: the clean-up of a node in a process of its own, as it needs the addon and the agent's configuration.
 * Arguments: those of the agent, before them `--yes` (do it) and `--state` (the state directory too).
 */
import { readFileSync } from 'node:fs';
import { loadConfig } from './config/config.ts';
import { errorMessage, FairleadError } from './model/errors.ts';
import { cleanUp, prepareCleanup } from './wiring/cleanup.ts';
import { formatAction } from './wiring/cleanup-plan.ts';

const OWN_FLAGS = ['--yes', '--state'];

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
	const given = process.argv.slice(2);
	const args = given.filter((arg) => !OWN_FLAGS.includes(arg));
	const loaded = loadConfig({ args, environment: process.env, readFile: (path) => readFileSync(path, 'utf8') });
	if ('exit' in loaded) {
		process.stdout.write(loaded.text);
		return 0;
	}
	const options = { config: loaded.values, withState: given.includes('--state') };
	if (given.includes('--yes')) return (await cleanUp({ ...options, say })).length === 0 ? 0 : 1;
	const { actions, notes } = await prepareCleanup(options);
	for (const action of actions) say(`would ${formatAction(action)}`);
	for (const note of notes) say(note);
	if (actions.length === 0) say('nothing of Fairlead is on this node');
	else say('nothing was changed; --yes does it');
	return 0;
}

main().then(
	(code) => {
		process.exitCode = code;
	},
	(error: unknown) => {
		const code = error instanceof FairleadError ? `${error.code}: ` : '';
		process.stderr.write(`fairlead cleanup: ${code}${errorMessage(error)}\n`);
		process.exitCode = 1;
	},
);
