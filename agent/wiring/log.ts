/**
 * The log: JSON lines on standard output, fixed messages, values in fields.
 */
import { type Logger, pino } from 'pino';

/** @param level  error, warn, info, debug or trace */
export function createLog(level: string, nodeName: string): Logger {
	return pino(
		{ level, base: { node: nodeName }, timestamp: pino.stdTimeFunctions.isoTime },
		pino.destination({ dest: 1, sync: true }),
	);
}
