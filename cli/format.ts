/**
 * Values as people read them. Pure; the locale is never asked, so that output is the same everywhere.
 */
import type { Duration__Output } from '../proto/generated/google/protobuf/Duration.ts';
import type { Timestamp__Output } from '../proto/generated/google/protobuf/Timestamp.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** RFC 3339 in UTC with nanoseconds, trailing zeros of the fraction removed. */
export function formatTimestamp({ seconds, nanos }: Timestamp__Output): string {
	const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
	const fraction = String(nanos).padStart(9, '0').replace(/0+$/, '');
	return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** `Nov 21 12:00:00.123` in local time. */
export function formatClock({ seconds, nanos }: Timestamp__Output): string {
	const date = new Date(seconds * 1000 + Math.floor(nanos / 1_000_000));
	const two = (value: number): string => String(value).padStart(2, '0');
	const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
	const ms = String(date.getMilliseconds()).padStart(3, '0');
	return `${MONTHS[date.getMonth()] ?? ''} ${two(date.getDate())} ${clock}.${ms}`;
}

export function durationMs({ seconds, nanos }: Duration__Output): number {
	return seconds * 1000 + nanos / 1_000_000;
}

/** The two largest units as kubectl does: `42s`, `5m3s`, `3h7m`, `12d4h`; below one second `250ms`. */
export function formatAge(ms: number): string {
	if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
	const seconds = Math.floor(ms / 1000);
	const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600), Math.floor(seconds / 60)];
	if (minutes < 1) return `${seconds}s`;
	if (hours < 1) return join(minutes, 'm', seconds % 60, 's');
	if (days < 1) return join(hours, 'h', minutes % 60, 'm');
	return join(days, 'd', hours % 24, 'h');
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
	return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** `512 B`, `1.5 KiB`, `3.2 GiB` */
export function formatBytes(bytes: number): string {
	let value = bytes;
	let unit = 0;
	while (value >= 1024 && unit < BINARY_UNITS.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${unit === 0 ? value : value.toFixed(1)} ${BINARY_UNITS[unit] ?? ''}`;
}

/** `a.b.c.d:port`, `[v6]:port`; without a port the address alone. */
export function formatEndpoint(address: string, port: number): string {
	if (port === 0) return address;
	return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `-` for empty cells, as kubectl has `<none>`. */
export function orDash(text: string): string {
	return text === '' ? '-' : text;
}

/** The end of an enum value in lower case: `VERDICT_DROPPED` → `dropped`, `PEER_KIND_REMOTE_NODE` → `remote-node`. */
export function enumWord(value: string): string {
	return value
		.replace(/^(VERDICT|FLOW_KIND|PEER_KIND|TRAFFIC_DIRECTION)_/, '')
		.toLowerCase()
		.replaceAll('_', '-');
}
