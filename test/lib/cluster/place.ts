/**
 * A place where programs of the test cluster run: a network namespace together with a cgroup, as a container has them.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BackgroundProcess, type RunOptions, type RunResult, run, start } from './exec.ts';

/** Joins the cgroup, then the namespace; both `exec`, so the process id stays that of the program. */
const ENTER = 'echo $$ >"$1/cgroup.procs" && ns=$2 && shift 2 && exec nsenter --net="$ns" -- "$@"';

export class Place {
	readonly name: string;
	/** Name of the network namespace in /run/netns. */
	readonly netns: string;
	readonly cgroup: string;
	/** Where its logs and files are. */
	readonly dir: string;

	constructor(o: { name: string; netns: string; cgroup: string; dir: string }) {
		this.name = o.name;
		this.netns = o.netns;
		this.cgroup = o.cgroup;
		this.dir = o.dir;
		mkdirSync(o.dir, { recursive: true });
		mkdirSync(o.cgroup, { recursive: true });
	}

	get netnsPath(): string {
		return `/run/netns/${this.netns}`;
	}

	/** The command as it is run from outside: inside this namespace and, unless told otherwise, this cgroup. */
	command(command: readonly string[], cgroup = this.cgroup): string[] {
		return ['sh', '-c', ENTER, 'enter', cgroup, this.netnsPath, ...command];
	}

	/** Runs a command here to its end. */
	run(command: readonly string[], o: RunOptions & { cgroup?: string } = {}): Promise<RunResult> {
		return run(this.command(command, o.cgroup), o);
	}

	/** Starts a program here that goes on running; its output is in DIR/LABEL.log. */
	start(label: string, command: readonly string[], env: Record<string, string | undefined> = {}): BackgroundProcess {
		return start(this.command(command), join(this.dir, `${label}.log`), env);
	}

	/** Runs a shell script with `set -e` here. */
	shell(script: string, o: RunOptions = {}): Promise<RunResult> {
		return this.run(['sh', '-ec', script], o);
	}
}
