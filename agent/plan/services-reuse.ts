/**
 * Parts of a new plan that are as in the one before, replaced by those: a plan lives until the next change of its service, and a
 * change is mostly about one of many endpoints. Pure as far as can be told from outside: the new plan stays equal to what it was.
 */
import type { Backend } from './endpoints.ts';
import type { DesiredPort, Frontend, OwnerPlan } from './services.ts';

/** @param fresh  nobody else has it yet @returns it */
export function reusePlan(old: OwnerPlan | undefined, fresh: OwnerPlan): OwnerPlan {
	if (old === undefined) return fresh;
	// sorted by name, and ports of a service seldom change
	for (const [i, port] of fresh.ports.entries()) {
		const before = old.ports[i];
		if (before?.name === port.name) reusePort(before, port);
	}
	return fresh;
}

function reusePort(old: DesiredPort, port: DesiredPort): void {
	const mine = port as { name: string; rank: string };
	mine.name = old.name;
	if (old.rank === port.rank) mine.rank = old.rank;
	// lists that are the same object stay so
	for (const list of new Set([port.serving, port.all, port.external, port.local])) reuseBackends(old.serving, list);
	reuseFrontends(old.frontends, port.frontends);
}

/** Both sorted by key. */
function reuseBackends(old: readonly Backend[], list: readonly Backend[]): void {
	let at = 0;
	for (let i = 0; i < list.length; i++) {
		const each = list[i] as Backend;
		while (at < old.length && (old[at] as Backend).key < each.key) at++;
		const before = old[at];
		if (before?.key === each.key && before.flags === each.flags) (list as Backend[])[i] = before;
	}
}

function reuseFrontends(old: readonly Frontend[], list: readonly Frontend[]): void {
	for (let i = 0; i < list.length; i++) {
		const [before, each] = [old[i], list[i] as Frontend];
		if (before?.key !== each.key || before.flags !== each.flags || before.atNode !== each.atNode) continue;
		if (before.sources === each.sources) (list as Frontend[])[i] = before;
	}
}
