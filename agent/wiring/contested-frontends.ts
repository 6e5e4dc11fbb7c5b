/**
 * Services and host ports that want one address and port. The API server keeps ClusterIPs and NodePorts apart, but nobody keeps
 * external addresses, host ports and YAML files apart; all but one of them are silently not served there.
 */
import { formatEndpoint } from '../model/address.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';
import type { DesiredPort, Frontend, OwnerPlan } from '../plan/services.ts';

/** A list of thousands helps nobody. */
const MOST = 20;

interface Claim {
	readonly owner: string;
	readonly port: DesiredPort;
}

/** One sentence for each owner and place that another one has, at most 20 and the number of the others. */
export function contestedFrontends(plans: ReadonlyMap<string, OwnerPlan>): readonly string[] {
	const holders = new Map<string, Claim>();
	const told = new Set<string>();
	const wanted = [...plans].flatMap(([owner, { ports }]) => ports.map((port) => ({ owner, port })));
	for (const claim of wanted.sort(byRank)) {
		for (const frontend of claim.port.frontends) {
			if (frontend.proto === 0) continue; // the address itself, which services may share
			const holder = holders.get(frontend.key);
			if (holder === undefined) holders.set(frontend.key, claim);
			else if (holder.owner !== claim.owner) told.add(sentence(claim, frontend, holder));
		}
	}
	const all = [...told];
	return all.length <= MOST ? all : [...all.slice(0, MOST), `${all.length - MOST} more places that others have`];
}

/** As the reconciler gives entries away. */
function byRank(a: Claim, b: Claim): number {
	const left = `${a.port.rank}\0${a.port.name}`;
	const right = `${b.port.rank}\0${b.port.name}`;
	return left < right ? -1 : left > right ? 1 : 0;
}

function sentence(claim: Claim, { address, port, proto }: Frontend, holder: Claim): string {
	const protocol = Object.entries(PROTOCOL_NUMBER).find(([, number]) => number === proto)?.[0] ?? `${proto}`;
	const place = `${formatEndpoint(address, port)}/${protocol}`;
	return `${nameOf(claim.owner)} is not served at ${place}: ${nameOf(holder.owner)} has it`;
}

/** 'hostport:shop/web' → 'hostPort of shop/web' */
function nameOf(owner: string): string {
	return owner.startsWith('hostport:') ? `hostPort of ${owner.slice('hostport:'.length)}` : `Service ${owner}`;
}
