/**
 * Values of command line options. Each throws commander's InvalidArgumentError with what was expected.
 */
import { InvalidArgumentError } from 'commander';

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function parseCount(text: string): number {
	const value = Number(text);
	if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
		throw new InvalidArgumentError('Expected a number, 0 or more.');
	return value;
}

export function parsePositive(text: string): number {
	const value = Number(text);
	if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value === 0)
		throw new InvalidArgumentError('Expected a number, 1 or more.');
	return value;
}

export function parsePort(text: string): number {
	const value = Number(text);
	if (!/^\d+$/.test(text) || value < 1 || value > 65535)
		throw new InvalidArgumentError('Expected a port from 1 to 65535.');
	return value;
}

/** For options that may be given several times or as a comma separated list. */
export function collect<T>(parse: (text: string) => T): (text: string, previous: readonly T[] | undefined) => T[] {
	return (text, previous = []) => [...previous, ...text.split(',').map((part) => parse(part.trim()))];
}

/** For options whose values may hold commas themselves. */
export function collectWhole(text: string, previous: readonly string[] = []): string[] {
	return [...previous, text];
}

/** `5m`, `1h30m`, `250ms` (before now) or an RFC 3339 time. @returns milliseconds since 1970 */
export function parseTime(text: string, now: Date): number {
	const parts = [...text.matchAll(/(\d+)(ms|[smhd])/g)];
	if (parts.length > 0 && parts.map(([whole]) => whole).join('') === text) {
		const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (DURATION_UNITS_MS[unit ?? ''] ?? 0), 0);
		return now.getTime() - ms;
	}
	const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
	if (Number.isNaN(ms))
		throw new InvalidArgumentError('Expected a duration such as 5m or 1h30m, or a time such as 2026-01-31T12:00:00Z.');
	return ms;
}

/** `90s`, `10m`, `1h` or 0. @returns milliseconds */
export function parseWaiting(text: string): number {
	const [, count = '', unit = ''] = /^(\d+)(ms|[smhd])?$/.exec(text) ?? [];
	const ms = Number(count) * (DURATION_UNITS_MS[unit] ?? 0);
	if (count === '' || (unit === '' && Number(count) !== 0))
		throw new InvalidArgumentError('Expected a duration such as 90s or 10m, or 0.');
	return ms;
}

/** `1.33` or `v1.33.2`. @returns 33 */
export function parseMinorVersion(text: string): number {
	const minor = /^v?1\.(\d+)(\.|$)/.exec(text)?.[1];
	if (minor === undefined) throw new InvalidArgumentError('Expected a version of Kubernetes such as 1.33.');
	return Number(minor);
}
