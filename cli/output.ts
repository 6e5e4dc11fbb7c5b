/**
 * Tables for people and JSON for scripts.
 */
import Table from 'cli-table3';
import { durationMs, enumWord, formatTimestamp } from './format.ts';

const NO_BORDERS = Object.fromEntries(
	['top', 'bottom', 'left', 'right', 'mid']
		.flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
		.concat('middle', 'mid-mid')
		.map((part) => [part, '']),
);

/** Columns as kubectl prints them: no borders, three spaces apart, no spaces at line ends. Ends with a newline. */
export function formatTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
	const table = new Table({
		head: [...head],
		chars: NO_BORDERS,
		style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 3 },
	});
	for (const row of rows) table.push(row.map(String));
	const lines = table.toString().split('\n');
	return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

/** `Key:   value` lines, keys aligned. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
	const width = Math.max(0, ...pairs.map(([key]) => key.length)) + 4;
	return (
		pairs.map(([key, value]) => `${`${key}:`.padEnd(width)}${value}`.trimEnd()).join('\n') + (pairs.length ? '\n' : '')
	);
}

const TIMESTAMPS = new Set(['time', 'since', 'until', 'started', 'lastSuccess', 'counted']);
const DURATIONS = new Set(['idle', 'age']);
const ENUMS = new Set(['verdict', 'kind', 'direction']);
/** Names of oneofs, which the loader adds to messages. */
const VIRTUAL = new Set(['message', '_entries', '_reply', '_identities']);

/**
 * A message as plain JSON: times as RFC 3339, durations in seconds, enum values as short lower-case words, counters as
 * numbers, absent messages left out.
 */
export function toJson(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(toJson);
	if (typeof value !== 'object' || value === null) return value;
	const entries: [string, unknown][] = [];
	for (const [key, each] of Object.entries(value)) {
		if (each === null || each === undefined) continue;
		if (VIRTUAL.has(key) && typeof each === 'string' && each in value) continue;
		entries.push([key, memberToJson(key, each)]);
	}
	return Object.fromEntries(entries);
}

function memberToJson(key: string, value: unknown): unknown {
	if (ENUMS.has(key) && typeof value === 'string') return /^[A-Z_]+$/.test(value) ? enumWord(value) : value;
	if (isSecondsAndNanos(value)) {
		if (TIMESTAMPS.has(key)) return formatTimestamp(value);
		if (DURATIONS.has(key)) return durationMs(value) / 1000;
	}
	return toJson(value);
}

function isSecondsAndNanos(value: unknown): value is { seconds: number; nanos: number } {
	return typeof value === 'object' && value !== null && 'seconds' in value && 'nanos' in value;
}

/** Indented, for one answer. */
export function formatJson(value: unknown): string {
	return `${JSON.stringify(toJson(value), null, 2)}\n`;
}

/** The same as YAML, whose library is loaded when it is needed. */
async function formatYaml(value: unknown): Promise<string> {
	const { stringify } = await import('yaml');
	return stringify(toJson(value), { lineWidth: 0 });
}

/** What a machine reads, or undefined if people do. */
export async function formatData(value: unknown, format: string): Promise<string | undefined> {
	if (format === 'json') return formatJson(value);
	return format === 'yaml' ? formatYaml(value) : undefined;
}

/** One line, for streams. */
export function formatJsonLine(value: unknown): string {
	return `${JSON.stringify(toJson(value))}\n`;
}
