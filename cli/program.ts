/**
 * The command tree of `fairlead`.
 */
import { Command, Option } from 'commander';
import { cleanupCommand } from './commands/cleanup.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { configCommand } from './commands/config.ts';
import { conntrackCommand } from './commands/conntrack.ts';
import { dropsCommand } from './commands/drops.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { installCommand, uninstallCommand, upgradeCommand } from './commands/install.ts';
import { nodeCommand } from './commands/node.ts';
import { observeCommand } from './commands/observe.ts';
import { policyCommand } from './commands/policy.ts';
import { serviceCommand } from './commands/service.ts';
import { statusCommand } from './commands/status.ts';
import { versionCommand } from './commands/version.ts';
import { whyDroppedCommand } from './commands/why-dropped.ts';
import type { Context } from './context.ts';

export const DEFAULT_SOCKET = '/run/fairlead/agent.sock';

const HELP = `
Shell completion: source <(fairlead completion bash), and the like for zsh and fish.
Exit codes: 0 done, 1 failure, 2 wrong usage, 3 no agent reachable, 4 not found, 5 agent not ready.
`;

/** Builds the tree. @param socketPath  receives the value of --socket before a command runs */
export function createProgram(context: Context, version: string, socketPath: (path: string) => void): Command {
	const program = new Command('fairlead')
		.description('Shows what the Fairlead agent of this node knows and does')
		.addOption(new Option('--socket <path>', 'unix socket of the agent').env('FAIRLEAD_SOCKET').default(DEFAULT_SOCKET))
		.version(version, '-V, --version', 'print the version of this tool')
		.showHelpAfterError('(add --help for usage)')
		.addHelpText('after', HELP)
		.hook('preAction', (root) => socketPath(root.opts<{ socket: string }>().socket));
	const commands = [
		statusCommand(context),
		serviceCommand(context),
		endpointCommand(context),
		nodeCommand(context),
		conntrackCommand(context),
		observeCommand(context),
		dropsCommand(context),
		policyCommand(context),
		whyDroppedCommand(context),
		configCommand(context),
		versionCommand(context, version),
		installCommand(context, version),
		upgradeCommand(context, version),
		uninstallCommand(context, version),
		cleanupCommand(context),
		completionCommand(context),
	];
	for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
	for (const group of commands) for (const command of group.commands) command.copyInheritedSettings(program);
	program.addCommand(completeCommand(context, () => program).copyInheritedSettings(program), { hidden: true });
	return program;
}
