/**
 * Loaded into an agent before its own code: what it would do every ten seconds or more, it never does. What such an agent notices of its
 * machine, the kernel has told it.
 */
import { pathToFileURL } from 'node:url';

const RARE_MS = 10_000;
const NEVER_MS = 2 ** 31 - 1;

/** A command through which an agent is started, for ClusterNode.startAgent. */
export const WITHOUT_LOOKS = ['env', `NODE_OPTIONS=--import=${pathToFileURL(import.meta.filename).href}`];

if (process.env.NODE_OPTIONS === WITHOUT_LOOKS[1]?.slice('NODE_OPTIONS='.length)) {
	const { setInterval } = globalThis;
	const patient = (task: () => void, ms = 0) => setInterval(task, ms >= RARE_MS ? NEVER_MS : ms);
	globalThis.setInterval = patient as typeof setInterval;
}
