/**
 * Who tells of a fault that every node sees: a few nodes, always the same ones, so that one bad object in a cluster of thousands
 * does not make thousands of Events.
 */
import { createHash } from 'node:crypto';

/** More than one, because any of them may be down. */
const REPORTERS = 3;

/**
 * Whether this node is among those that tell of an object: the first by a hash of node and object, which all nodes compute alike.
 * @param nodes  names of all nodes, as far as they are known
 */
export function isReporter(object: string, self: string, nodes: Iterable<string>): boolean {
	const own = rank(self, object);
	let before = 0;
	for (const node of nodes) {
		if (node !== self && rank(node, object) < own && ++before >= REPORTERS) return false;
	}
	return true;
}

function rank(node: string, object: string): string {
	return createHash('sha256').update(`${node}\n${object}`).digest('hex');
}
