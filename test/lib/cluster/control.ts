/** The test's end of programs/policy-probe.ts. */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { PolicyQuestion } from '../programs/policy-probe.ts';
import { eventually } from './exec.ts';

export interface ControlledProbe {
	/** One list at a time. @returns which questions were answered */
	ask(questions: readonly PolicyQuestion[]): Promise<boolean[]>;
	close(): void;
}

/** Waits until the program listens on the socket. */
export async function controlledProbe(path: string): Promise<ControlledProbe> {
	let socket: Socket | undefined;
	await eventually(`a probe listens on ${path}`, async () => {
		socket = await new Promise<Socket>((resolve, reject) => {
			const made = connect(path, () => resolve(made)).once('error', reject);
		});
	});
	if (socket === undefined) throw new Error(`no probe listens on ${path}`);
	const open = socket;
	const lines = createInterface({ input: open })[Symbol.asyncIterator]();
	return {
		async ask(questions) {
			open.write(`${JSON.stringify(questions)}\n`);
			const { value, done } = await lines.next();
			if (done) throw new Error(`the probe at ${path} has ended`);
			return JSON.parse(value) as boolean[];
		},
		close: () => open.destroy(),
	};
}
