/**
 * Addresses at which the agent listens itself: two that the kernel does not give beside each other are refused. Pure.
 */
import { familyOf, parseAddress } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { EffectiveConfig } from './config.ts';
import type { ConfigName } from './schema.ts';

/** Every key of the schema that names an address to listen at. */
const LISTENERS = ['healthzBindAddress', 'metricsBindAddress'] as const satisfies readonly ConfigName[];

/** @throws CONFIG_CONFLICT naming two keys whose addresses exclude each other, their values and where these come from */
export function requireListenersApart({ values, origins }: EffectiveConfig): void {
	LISTENERS.forEach((key, at) => {
		const other = LISTENERS.slice(0, at).find((each) => excludeEachOther(values[each], values[key]));
		if (other === undefined) return;
		const [first, second] = [other, key].map((name) => `${name} ${values[name]} (${origins[name].source})`);
		throw new FairleadError(
			'CONFIG_CONFLICT',
			`cannot listen at both ${first} and ${second}: they share addresses, so that they need different ports`,
		);
	});
}

/**
 * Whether the kernel refuses the one while the other is in use. Of a host name nothing is known but its own text.
 * @param a  'ADDRESS:PORT', '[V6]:PORT' or 'off'
 */
export function excludeEachOther(a: string, b: string): boolean {
	if (a === 'off' || b === 'off') return false;
	const [one, two] = [split(a), split(b)];
	if (one.port !== two.port) return false;
	return one.host === two.host || isWithin(one.host, two.host) || isWithin(two.host, one.host);
}

/** Whether a wildcard takes the host in. `::` stands for both families, since the agent's servers answer both there. */
function isWithin(host: string, wildcard: string): boolean {
	if (wildcard === '::') return true;
	return wildcard === '0.0.0.0' && parseAddress(host) !== undefined && familyOf(host) === 4;
}

function split(text: string): { host: string; port: number } {
	const at = text.lastIndexOf(':');
	const host = text.slice(0, at).replace(/^\[|\]$/g, '');
	return { host: parseAddress(host) ?? host.toLowerCase(), port: Number(text.slice(at + 1)) };
}
