import { Argument, Command } from 'commander';
import type { ListDropsResponse__Output } from '../../proto/generated/fairlead/v1/ListDropsResponse.ts';
import type { ListEndpointsResponse__Output } from '../../proto/generated/fairlead/v1/ListEndpointsResponse.ts';
import type { ListPoliciesResponse__Output } from '../../proto/generated/fairlead/v1/ListPoliciesResponse.ts';
import type { ListServicesResponse__Output } from '../../proto/generated/fairlead/v1/ListServicesResponse.ts';
import type { AgentConnection } from '../client.ts';
import type { Context } from '../context.ts';
import { CliError } from '../exit.ts';
import { type LiveValues, suggest } from '../suggest.ts';

/** Scripts pass the words as they are and evaluate nothing; each asks `fairlead __complete` for the current word. */
const SCRIPTS = {
	bash: `# bash completion of fairlead: source <(fairlead completion bash)
_fairlead() {
	local reply
	COMPREPLY=()
	while IFS= read -r reply; do
		COMPREPLY+=("$reply")
	done < <(fairlead __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _fairlead fairlead
`,
	zsh: `#compdef fairlead
# zsh completion of fairlead: source <(fairlead completion zsh), or a file _fairlead in $fpath
_fairlead() {
	local -a replies
	replies=("\${(@f)$(fairlead __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
	replies=("\${(@)replies:#}")
	(( \${#replies} )) && compadd -a replies
}
if [[ \${funcstack[1]} == _fairlead ]]; then _fairlead "$@"; else compdef _fairlead fairlead; fi
`,
	fish: `# fish completion of fairlead: fairlead completion fish | source
function __fairlead_complete
	set -l words (commandline -opc)
	set -e words[1]
	fairlead __complete -- $words (commandline -ct) 2>/dev/null
end
complete -c fairlead -f -a '(__fairlead_complete)'
`,
} as const;

type Shell = keyof typeof SCRIPTS;

/** For which values a shell waits: longer and the user has typed on. */
const LIVE_TIMEOUT_MS = 1000;

export function completionCommand(context: Context): Command {
	return new Command('completion')
		.description('print a completion script: source <(fairlead completion bash)')
		.addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
		.action((shell: Shell) => context.out(SCRIPTS[shell]));
}

/** Hidden: prints what may stand for the last word, one a line. */
export function completeCommand(context: Context, root: () => Command): Command {
	return new Command('__complete')
		.argument('[words...]')
		.allowUnknownOption()
		.helpOption(false)
		.action(async (words: string[]) => {
			const found = await suggest(root(), words, (values, socketPath) => liveValues(context, values, socketPath));
			await context.out([...new Set(found)].map((each) => `${each}\n`).join(''));
		});
}

async function liveValues(context: Context, values: LiveValues, socketPath?: string): Promise<readonly string[]> {
	try {
		const where = { timeoutMs: LIVE_TIMEOUT_MS, ...(socketPath === undefined ? {} : { socketPath }) };
		return await context.withAgent((agent) => askAgent(agent, values), where);
	} catch (error) {
		// no agent, no suggestions: a message would garble the line that is being typed
		if (error instanceof CliError) return [];
		throw error;
	}
}

async function askAgent(agent: AgentConnection, values: LiveValues): Promise<string[]> {
	const services = async () =>
		(await agent.unary<ListServicesResponse__Output>((stub, options, done) => stub.listServices({}, options, done)))
			.services;
	const endpoints = async () =>
		(await agent.unary<ListEndpointsResponse__Output>((stub, options, done) => stub.listEndpoints({}, options, done)))
			.endpoints;
	switch (values) {
		case 'services':
			return (await services()).map(({ namespace, name }) => `${namespace}/${name}`);
		case 'pods':
			return (await endpoints()).map(({ namespace, pod }) => `${namespace}/${pod}`);
		case 'namespaces':
			return [...(await services()), ...(await endpoints())].map(({ namespace }) => namespace);
		case 'policies': {
			const { policies } = await agent.unary<ListPoliciesResponse__Output>((stub, options, done) =>
				stub.listPolicies({}, options, done),
			);
			return policies.map(({ namespace, name }) => (namespace === '' ? name : `${namespace}/${name}`));
		}
		case 'reasons': {
			const { drops } = await agent.unary<ListDropsResponse__Output>((stub, options, done) =>
				stub.listDrops({ all: true }, options, done),
			);
			return drops.map(({ reason }) => reason);
		}
	}
}
