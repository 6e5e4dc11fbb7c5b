/**
 * Maglev tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
 * Every node makes the same table of the same backends, whatever their order, indexes or history: what is hashed is
 * the backend's address and port. Pure.
 */

/**
 * Table sizes: primes, so that every skip visits every slot, and few, because tables of different sizes have nothing in
 * common: a set that grows or shrinks over one of the limits moves nearly all flows, which only a transition keeps.
 * docs/decisions/0014-rows-per-service-port.md has the measurements behind them.
 */
const SIZES = [
	{ size: 251, backends: 1 },
	{ size: 2039, backends: 10 },
	{ size: 16381, backends: 1000 },
	{ size: 65521, backends: 4000 },
] as const;

/** Size of the table for this many backends; the same on every node. */
export function maglevSize(backends: number): number {
	return SIZES.find((each) => backends <= each.backends)?.size ?? nextPrime(backends * 16);
}

/** For more backends than any service should have: rare enough to look for a prime. */
function nextPrime(from: number): number {
	for (let n = from | 1; ; n += 2) {
		let prime = true;
		for (let d = 3; prime && d * d <= n; d += 2) prime = n % d !== 0;
		if (prime) return n;
	}
}

const FREE = 0xffffffff;

/**
 * @param keys  one per backend, unique ('address|port|proto'); at least one and at most `size`
 * @param size  a prime
 * @returns for each slot the position of its backend in `keys`
 */
export function maglevTable(keys: readonly string[], size: number): Uint32Array {
	const table = new Uint32Array(size).fill(FREE);
	const turns = turnsOf(keys, size);
	const { length } = turns;
	for (let filled = 0; filled < size; ) {
		for (let i = 0; i < length && filled < size; i++, filled++) {
			const turn = turns[i] as Turn;
			let slot = turn.next;
			while (table[slot] !== FREE) slot = slot + turn.skip < size ? slot + turn.skip : slot + turn.skip - size;
			table[slot] = turn.position;
			turn.next = slot;
		}
	}
	return table;
}

/** A backend's walk over the slots. */
interface Turn {
	readonly position: number;
	readonly order: number;
	readonly skip: number;
	next: number;
}

/** In the order of the backends' hashes: that of their addresses would favour the same ones in every service. */
function turnsOf(keys: readonly string[], size: number): Turn[] {
	const turns = keys.map((key, position): Turn => {
		const hash = hashText(key);
		const next = mix(hash ^ 0x9e3779b9) % size;
		return { position, order: hash, skip: 1 + (mix(hash ^ 0x85ebca6b) % (size - 1)), next };
	});
	return turns.sort((a, b) => a.order - b.order || ((keys[a.position] ?? '') < (keys[b.position] ?? '') ? -1 : 1));
}

/** FNV-1a over the characters, then mixed: equal on every node and release, because tables must agree between them. */
function hashText(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return mix(hash);
}

/** Finaliser of MurmurHash3: every bit of the input decides about every bit of the result. */
function mix(value: number): number {
	let h = value ^ (value >>> 16);
	h = Math.imul(h, 0x85ebca6b);
	h ^= h >>> 13;
	h = Math.imul(h, 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}
