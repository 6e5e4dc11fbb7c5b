/**
 * Results and errors as each version of the specification prints them. Pure.
 */
import type { Attachment } from '../agent/endpoints/attachment.ts';
import { familyOf } from '../agent/model/address.ts';
import type { CniError } from './cni-error.ts';
import { type CniVersion, isAtLeast } from './versions.ts';

/** Next hop inside the pod, and its default routes; the same for every pod. */
export interface PodRoutes {
	readonly gateway: Readonly<Record<4 | 6, string>>;
	readonly defaultRoute: Readonly<Record<4 | 6, string>>;
}

/** The result of ADD for an interface of ours. */
export function formatResult(
	version: CniVersion,
	attachment: Attachment,
	sandbox: string,
	routes: PodRoutes,
	dns: Readonly<Record<string, unknown>>,
): string {
	const withMtu = isAtLeast(version, '1.1.0') ? { mtu: attachment.mtu } : {};
	const withVersion = (address: string) => (isAtLeast(version, '1.0.0') ? {} : { version: `${familyOf(address)}` });
	return print({
		cniVersion: version,
		interfaces: [
			{ name: attachment.hostIfname, mac: attachment.hostMac, ...withMtu },
			{ name: attachment.ifname, mac: attachment.mac, ...withMtu, sandbox },
		],
		ips: attachment.addresses.map((address) => ({
			...withVersion(address),
			address: `${address}/${familyOf(address) === 4 ? 32 : 128}`,
			gateway: routes.gateway[familyOf(address)],
			interface: 1,
		})),
		routes: attachment.addresses.map((address) => ({
			dst: routes.defaultRoute[familyOf(address)],
			gw: routes.gateway[familyOf(address)],
		})),
		dns,
	});
}

/** The result of a previous plugin, unchanged; it is in the version of this request by the rules of the chain. */
export function formatPrevResult(version: CniVersion, prevResult: Readonly<Record<string, unknown>>): string {
	return print({ ...prevResult, cniVersion: version });
}

export function formatError(version: CniVersion, error: CniError): string {
	const { code, message, details } = error;
	return print({ cniVersion: version, code, msg: message, ...(details !== undefined && { details }) });
}

function print(value: unknown): string {
	return `${JSON.stringify(value)}\n`;
}
