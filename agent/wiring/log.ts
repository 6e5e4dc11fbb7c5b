/**
 * The log: JSON lines on standard output, fixed messages, values in fields.
 */
import { type DestinationStream, type Logger, pino } from 'pino';

/** @param level  error, warn, info, debug or trace */
export function createLog(
	level: string,
	nodeName: string,
	destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Logger {
	return pino(
		{
			level,
			base: { node: nodeName },
			timestamp: pino.stdTimeFunctions.isoTime,
			formatters: { level: (label) => ({ level: label }), log: roundedTimes },
		},
		destination,
	);
}

/** Times in milliseconds come from a clock that counts in nanoseconds: microseconds are enough for people. */
function roundedTimes(fields: Record<string, unknown>): Record<string, unknown> {
	const rounded = Object.entries(fields).map(([name, value]) =>
		name.endsWith('Ms') && typeof value === 'number' ? [name, Math.round(value * 1000) / 1000] : [name, value],
	);
	return Object.fromEntries(rounded) as Record<string, unknown>;
}
