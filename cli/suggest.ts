/**
 * What may follow on a command line that is being typed: names from the command tree, and values the tree or the agent
 * knows. The answer is for the current word only.
 */
import type { Argument, Command, Option } from 'commander';

/** Values that only the agent knows. */
export type LiveValues = 'services' | 'pods' | 'namespaces' | 'reasons' | 'policies';
export type Values = readonly string[] | LiveValues;

/** Asks the agent; an empty list when it does not answer soon. */
export type AskLive = (values: LiveValues, socketPath: string | undefined) => Promise<readonly string[]>;

const KNOWN = new WeakMap<Option | Argument, Values>();

/** Says what values an option or argument takes, where commander's own `choices` does not fit. */
export function suggesting<T extends Option | Argument>(target: T, values: Values): T {
	KNOWN.set(target, values);
	return target;
}

/** Where in the command tree the finished words lead. */
interface Place {
	readonly command: Command;
	/** Positional arguments already given to it. */
	readonly positionals: number;
	/** Option whose value comes next. */
	readonly pending: Option | undefined;
	readonly socketPath: string | undefined;
}

/**
 * @param words  after `fairlead`, the last one being typed and perhaps empty. bash splits at `=`: `--output`, `=`, `js`.
 * @returns full replacements of the last word that begin like it
 */
export async function suggest(program: Command, words: readonly string[], ask: AskLive): Promise<string[]> {
	const whole = joinSplitOptions(words);
	const current = whole.at(-1) ?? '';
	const place = walk(program, whole.slice(0, -1));
	const inline = /^(--[^=]+)=(.*)$/s.exec(current);
	if (inline !== null && place.pending === undefined) {
		const [, flag = '', typed = ''] = inline;
		const option = findOption(place.command, flag);
		const values = option === undefined ? [] : await valuesOf(option, option.argChoices, typed, ask, place);
		return values.map((value) => `${flag}=${value}`);
	}
	if (place.pending !== undefined) return valuesOf(place.pending, place.pending.argChoices, current, ask, place);
	if (current.startsWith('-')) return beginning(current, flagsOf(place.command));
	const commands = place.command
		.createHelp()
		.visibleCommands(place.command)
		.map((command) => command.name());
	if (commands.length > 0) return beginning(current, commands);
	const argument = place.command.registeredArguments[place.positionals];
	return argument === undefined ? [] : valuesOf(argument, argument.argChoices, current, ask, place);
}

/** `--output`, `=`, `js` means `--output js`. */
function joinSplitOptions(words: readonly string[]): string[] {
	const joined = words.filter((word, i) => word !== '=' || words[i - 1]?.startsWith('--') !== true);
	const last = words.at(-1);
	return last === '=' && joined.length < words.length ? [...joined, ''] : joined;
}

function walk(program: Command, words: readonly string[]): Place {
	let command = program;
	let positionals = 0;
	let pending: Option | undefined;
	let socketPath: string | undefined;
	for (const word of words) {
		if (pending !== undefined) {
			if (pending.long === '--socket') socketPath = word;
			pending = undefined;
		} else if (word.startsWith('-')) {
			const option = findOption(command, word);
			if (option !== undefined && (option.required || option.optional)) pending = option;
		} else {
			const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
			if (next === undefined) positionals++;
			command = next ?? command;
		}
	}
	return { command, positionals, pending, socketPath };
}

/** Options of the command and of those above it. */
function optionsOf(command: Command): readonly Option[] {
	const help = command.createHelp();
	return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command), ...(command.parent?.options ?? [])];
}

function findOption(command: Command, flag: string): Option | undefined {
	return optionsOf(command).find((option) => option.long === flag || option.short === flag);
}

function flagsOf(command: Command): string[] {
	const flags = command
		.createHelp()
		.visibleOptions(command)
		.map((option) => option.long ?? option.short ?? '');
	return flags.filter((flag) => flag !== '');
}

async function valuesOf(
	target: Option | Argument,
	choices: readonly string[] | undefined,
	typed: string,
	ask: AskLive,
	place: Place,
): Promise<string[]> {
	const known = KNOWN.get(target) ?? choices ?? [];
	const values = typeof known === 'string' ? await ask(known, place.socketPath) : known;
	// of a list only the last part is being typed
	const before = typed.slice(0, typed.lastIndexOf(',') + 1);
	return beginning(
		typed,
		values.map((value) => before + value),
	);
}

function beginning(typed: string, values: readonly string[]): string[] {
	return values.filter((value) => value.startsWith(typed));
}
