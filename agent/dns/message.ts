/**
 * DNS messages: which question a query asks, and which addresses an answer gives for it. Of an answer only the records count that
 * lead from its question, over aliases, to addresses.
 */
import { type Answer, decode } from 'dns-packet';
import { type Address, parseAddress } from '../model/address.ts';

export interface DnsQuestion {
	readonly id: number;
	/** Lower case, without a final dot. */
	readonly name: string;
	/** Number of the record type. */
	readonly type: number;
}

export interface LearntAddress {
	readonly address: Address;
	/** The least of the records that lead to it. */
	readonly ttlSeconds: number;
}

export interface DnsAnswer extends DnsQuestion {
	/** Empty when there are none, or the server has refused. */
	readonly addresses: readonly LearntAddress[];
}

const HEADER = 12;
const RESPONSE = 0x80;
const OPCODE = 0x78;
const CLASS_IN = 1;
/** What host names are made of, and the underscore of service names; anything else no policy can name. */
const LABEL = /^[a-z0-9_-]+$/;

/** The only question of a query, as it is on the wire; undefined = it is not a query that policies care for. */
export function readQuery(message: Buffer): DnsQuestion | undefined {
	return readQuestion(message, 0);
}

/**
 * The question of an answer, and its addresses.
 * @returns undefined when it is no answer to one question; never throws
 */
export function readAnswer(message: Buffer): DnsAnswer | undefined {
	const question = readQuestion(message, RESPONSE);
	if (question === undefined) return undefined;
	try {
		const { answers = [], rcode } = decode(message) as { answers?: Answer[]; rcode?: string };
		return { ...question, addresses: rcode === 'NOERROR' ? addressesOf(question.name, answers) : [] };
	} catch {
		return undefined; // the library throws plain errors for what does not fit
	}
}

function readQuestion(message: Buffer, direction: number): DnsQuestion | undefined {
	if (message.length < HEADER || ((message[2] ?? 0) & (RESPONSE | OPCODE)) !== direction) return undefined;
	if (message.readUInt16BE(4) !== 1) return undefined;
	const labels: string[] = [];
	let at = HEADER;
	for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
		// no compression in front of the first name; and labels are read by themselves: one may hold a dot
		if (length > 63 || at + 1 + length > message.length) return undefined;
		const label = message.toString('latin1', at + 1, at + 1 + length).toLowerCase();
		if (!LABEL.test(label)) return undefined;
		labels.push(label);
		at += 1 + length;
	}
	if (labels.length === 0 || at + 5 > message.length || message.readUInt16BE(at + 3) !== CLASS_IN) return undefined;
	return { id: message.readUInt16BE(0), name: labels.join('.'), type: message.readUInt16BE(at + 1) };
}

/** Follows aliases in whatever order the records are. */
function addressesOf(question: string, answers: readonly Answer[]): LearntAddress[] {
	const records = answers.map((record) => ({ ...record, name: plain(record.name) }) as Answer);
	const reached = new Map<string, number>([[question, Number.POSITIVE_INFINITY]]);
	for (let grown = true; grown; ) {
		grown = false;
		for (const record of records) {
			const ttl = reached.get(record.name);
			if (record.type !== 'CNAME' || ttl === undefined || typeof record.data !== 'string') continue;
			const target = plain(record.data);
			if (reached.has(target)) continue;
			reached.set(target, Math.min(ttl, ttlOf(record)));
			grown = true;
		}
	}
	return records.flatMap((record): LearntAddress[] => {
		const ttl = reached.get(record.name);
		if (ttl === undefined || (record.type !== 'A' && record.type !== 'AAAA')) return [];
		const address = parseAddress(record.data);
		return address === undefined ? [] : [{ address, ttlSeconds: Math.min(ttl, ttlOf(record)) }];
	});
}

function plain(name: string): string {
	return name.toLowerCase().replace(/\.$/, '');
}

/** RFC 2181 section 8: the highest bit set means zero. */
function ttlOf(record: Answer): number {
	const ttl = 'ttl' in record ? (record.ttl ?? 0) : 0;
	return ttl > 0x7fffffff ? 0 : ttl;
}
