/**
 * The last N flow records. Kept as the raw bytes of the kernel plus references to shared names, about 150 bytes a
 * record, because objects would cost four times as much; a Flow is made when somebody reads it.
 */
import {
	CtDirection,
	DropReason,
	EventType,
	FlowEvent,
	Hook,
	JudgedSide,
	L4Proto,
	PolicyCookie,
} from '../../native/abi/generated.ts';
import { type Address, addressOfBytes } from '../model/address.ts';
import type { RuleVerdict } from '../model/policy-rule.ts';
import type { Flow, FlowKind, FlowPeer, FlowPolicy, FlowTotals, PeerName, TrafficDirection, Verdict } from './flow.ts';
import { type AddressResolver, UNKNOWN } from './names.ts';
import { hasPorts } from './protocols.ts';

const RECORD_BYTES = FlowEvent.size;
/** Offsets inside a record, found by encoding one: the layout is the generator's business alone. */
const SOURCE_OFFSET = offsetOf({ src: new Uint8Array(16).fill(0xff) });
const DESTINATION_OFFSET = offsetOf({ dst: new Uint8Array(16).fill(0xff) });
const ORIGINAL_OFFSET = offsetOf({ origDst: new Uint8Array(16).fill(0xff) });

const KINDS: Readonly<Record<number, FlowKind>> = {
	[EventType.FLOW_NEW]: 'new',
	[EventType.DROP]: 'drop',
	[EventType.FLOW_CLOSE]: 'close',
	[EventType.SOCK_CONNECT]: 'connect',
	[EventType.NAT_EXHAUSTED]: 'nat-exhausted',
	[EventType.POLICY_AUDIT]: 'audit',
};

const DIRECTIONS: Readonly<Record<number, TrafficDirection>> = {
	[Hook.FROM_POD]: 'egress',
	[Hook.SOCKET]: 'egress',
	[Hook.TO_UPLINK]: 'egress',
	[Hook.TO_OVERLAY]: 'egress',
	[Hook.LOOPBACK]: 'egress',
	[Hook.TO_POD]: 'ingress',
	[Hook.FROM_UPLINK]: 'ingress',
	[Hook.FROM_OVERLAY]: 'ingress',
	[Hook.XDP]: 'ingress',
};

/** Who decided, by number of the rule; see RuleNames. Answers are shared objects. */
export interface RuleResolver {
	/** @param subject  address of the pod that was judged; rarely asked for */
	verdict(cookie: number, direction: 'egress' | 'ingress', subject: () => Address): RuleVerdict;
}

export interface HistoryOptions {
	/** Records that are kept; at least 1. */
	readonly capacity: number;
	readonly nodeName: string;
	readonly names: AddressResolver;
	/** Left out = rules have no names. */
	readonly rules?: RuleResolver;
}

const UNNAMED: RuleResolver = {
	verdict: () => ({ kind: 'gone', text: 'a rule', policies: [], rule: '', deny: false, match: 'none' }),
};

/** The pod's policies are not known, so there is nobody to name. */
const ISOLATED: RuleVerdict = {
	...{ kind: 'closed', policies: [], rule: '', deny: false, match: 'none' },
	text: 'the pod is isolated until the cluster knows it',
};

/** A ring of records numbered from 0; the oldest is overwritten. */
export class FlowHistory {
	readonly capacity: number;
	readonly #nodeName: string;
	readonly #names: AddressResolver;
	readonly #rules: RuleResolver;
	readonly #records: Uint8Array;
	readonly #timesNs: BigInt64Array;
	readonly #sources: (PeerName | undefined)[] = [];
	readonly #destinations: (PeerName | undefined)[] = [];
	readonly #services: (PeerName | undefined)[] = [];
	/** Egress and ingress by slot; rules are named when the record comes, like peers. */
	readonly #egress: (RuleVerdict | undefined)[] = [];
	readonly #ingress: (RuleVerdict | undefined)[] = [];
	#next = 0;

	constructor(options: HistoryOptions) {
		this.capacity = Math.max(1, options.capacity);
		this.#nodeName = options.nodeName;
		this.#names = options.names;
		this.#rules = options.rules ?? UNNAMED;
		// zeroed by the kernel on first use: an idle node pays for no page it never wrote
		this.#records = new Uint8Array(this.capacity * RECORD_BYTES);
		this.#timesNs = new BigInt64Array(this.capacity);
	}

	/** Number of the oldest record that is still there. */
	get first(): number {
		return Math.max(0, this.#next - this.capacity);
	}

	/** Number the next record will get; records seen so far. */
	get next(): number {
		return this.#next;
	}

	/** Number of records that can be read. */
	get held(): number {
		return this.#next - this.first;
	}

	/**
	 * Appends a copy of one `struct flow_event`.
	 * @param offsetNs  what to add to CLOCK_MONOTONIC to get nanoseconds since 1970
	 * @returns false when the record is shorter than the struct: it is not stored
	 */
	push(record: Uint8Array, offsetNs: bigint): boolean {
		if (record.length < RECORD_BYTES) return false;
		const slot = this.#next % this.capacity;
		const at = slot * RECORD_BYTES;
		this.#records.set(record.subarray(0, RECORD_BYTES), at);
		const event = this.#withSender(FlowEvent.decode(this.#records, at), at);
		this.#timesNs[slot] = event.timeNs + offsetNs;
		this.#sources[slot] = this.#names.owner(this.#records, at + SOURCE_OFFSET);
		this.#destinations[slot] = this.#names.owner(this.#records, at + DESTINATION_OFFSET);
		this.#services[slot] = isZero(event.origDst)
			? this.#names.service(this.#records, at + DESTINATION_OFFSET, event.proto, event.dport)
			: this.#names.service(this.#records, at + ORIGINAL_OFFSET, event.proto, event.origDport);
		this.#egress[slot] = this.#rule(event, 'egress');
		this.#ingress[slot] = this.#rule(event, 'ingress');
		this.#next++;
		return true;
	}

	/** Sockets of pods have no address when they are translated; who they belong to is known now and may not be later. */
	#withSender(event: FlowEvent, at: number): FlowEvent {
		if (event.hook !== Hook.SOCKET || !isZero(event.src)) return event;
		const src = this.#names.sender?.(event.bytes[0] ?? 0n, event.family === 6 ? 6 : 4);
		if (src === undefined) return event;
		this.#records.set(src, at + SOURCE_OFFSET);
		return { ...event, src };
	}

	/** Nanoseconds since 1970 of a record; undefined = overwritten or not yet there. */
	timeNs(sequence: number): bigint | undefined {
		return this.#has(sequence) ? this.#timesNs[sequence % this.capacity] : undefined;
	}

	/** Undefined = overwritten or not yet there. */
	get(sequence: number): Flow | undefined {
		if (!this.#has(sequence)) return undefined;
		const slot = sequence % this.capacity;
		const event = FlowEvent.decode(this.#records, slot * RECORD_BYTES);
		const translated = !isZero(event.origDst);
		const service = this.#services[slot];
		return {
			sequence,
			timeNs: this.#timesNs[slot] ?? 0n,
			nodeName: this.#nodeName,
			kind: KINDS[event.type] ?? 'new',
			verdict: verdictOf(event),
			protocol: event.proto,
			ipVersion: event.family === 6 ? 6 : 4,
			source: this.#peer(event.src, event.sport, event, event.srcIdentity, this.#sources[slot]),
			destination: this.#peer(event.dst, event.dport, event, event.dstIdentity, this.#destinations[slot]),
			originalDestination: translated ? this.#peer(event.origDst, event.origDport, event, 0, service) : undefined,
			service,
			reason: event.reason,
			reply: event.direction === CtDirection.REPLY,
			direction: judgedDirection(event) ?? DIRECTIONS[event.hook] ?? 'unknown',
			hook: event.hook,
			ifindex: event.ifindex,
			tcpFlags: event.proto === L4Proto.TCP ? event.tcpFlags : 0,
			icmpType: hasPorts(event.proto) ? 0 : event.tcpFlags,
			icmpCode: hasPorts(event.proto) ? 0 : event.icmpCode,
			packetBytes: event.len,
			totals: event.type === EventType.FLOW_CLOSE ? totalsOf(event) : undefined,
			egressRule: policyOf(event, 'egress', this.#egress[slot]),
			ingressRule: policyOf(event, 'ingress', this.#ingress[slot]),
		};
	}

	#has(sequence: number): boolean {
		return sequence >= this.first && sequence < this.#next;
	}

	/** Undefined = nothing restricts that side. */
	#rule(event: FlowEvent, direction: 'egress' | 'ingress'): RuleVerdict | undefined {
		const cookie = event.rule[SIDES[direction].index] ?? 0;
		if (cookie === 0 && ((event.denied | event.audited) & SIDES[direction].bit) === 0) return undefined;
		if (event.reason === DropReason.ISOLATED && cookie === PolicyCookie.CLOSED) return ISOLATED;
		const initiator = event.direction === CtDirection.REPLY ? event.dst : event.src;
		const responder = event.direction === CtDirection.REPLY ? event.src : event.dst;
		return this.#rules.verdict(cookie, direction, () => addressOfBytes(direction === 'egress' ? initiator : responder));
	}

	#peer(bytes: Uint8Array, port: number, event: FlowEvent, identity: number, known: PeerName | undefined): FlowPeer {
		const address = addressOfBytes(bytes);
		// a socket that was not bound when it was translated has no source address yet
		const name = known ?? (isZero(bytes) ? UNKNOWN : this.#names.stranger(address));
		const { kind, namespace, name: own, labels } = name;
		return { kind, namespace, name: own, labels, address, port: hasPorts(event.proto) ? port : 0, identity };
	}
}

const SIDES = {
	egress: { index: 0, bit: JudgedSide.EGRESS },
	ingress: { index: 1, bit: JudgedSide.INGRESS },
} as const;

/** The side that denies, or would: hooks see both sides of flows inside a node. */
function judgedDirection({ denied, audited }: FlowEvent): TrafficDirection | undefined {
	const sides = denied || audited;
	if (sides === 0) return undefined;
	return sides & JudgedSide.EGRESS ? 'egress' : 'ingress';
}

function policyOf(
	event: FlowEvent,
	direction: 'egress' | 'ingress',
	by: RuleVerdict | undefined,
): FlowPolicy | undefined {
	if (by === undefined) return undefined;
	const { index, bit } = SIDES[direction];
	const verdict = event.denied & bit ? 'denied' : event.audited & bit ? 'audited' : 'allowed';
	return { verdict, cookie: event.rule[index] ?? 0, by };
}

function verdictOf(event: FlowEvent): Verdict {
	if (event.reason !== DropReason.NONE || event.type === EventType.DROP) return 'dropped';
	if (event.type === EventType.POLICY_AUDIT) return 'audit';
	if (event.type === EventType.NAT_EXHAUSTED) return 'error';
	return event.type === EventType.SOCK_CONNECT ? 'translated' : 'forwarded';
}

function totalsOf(event: FlowEvent): FlowTotals {
	return {
		packetsForward: event.packets[CtDirection.FORWARD] ?? 0,
		packetsReply: event.packets[CtDirection.REPLY] ?? 0,
		bytesForward: event.bytes[CtDirection.FORWARD] ?? 0n,
		bytesReply: event.bytes[CtDirection.REPLY] ?? 0n,
	};
}

function isZero(bytes: Uint8Array): boolean {
	return bytes.every((byte) => byte === 0);
}

/** An event with every field zero, for tests and for finding offsets. */
export function emptyFlowEvent(): FlowEvent {
	return FlowEvent.decode(new Uint8Array(RECORD_BYTES));
}

function offsetOf(field: Partial<FlowEvent>): number {
	return FlowEvent.encode({ ...emptyFlowEvent(), ...field }).indexOf(0xff);
}
