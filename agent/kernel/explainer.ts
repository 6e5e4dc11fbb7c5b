/**
 * Asks the program that explains flows (bpf/progs/explain.bpf.c): one run per question, on the maps in force.
 */
import { ExplainFlow } from '../../native/abi/generated.ts';
import { type Address, addressBytes, addressOfBytes, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { LooseProgram } from './programs.ts';

export interface FlowQuestion {
	readonly from: Address;
	readonly to: Address;
	/** IP protocol number. */
	readonly proto: number;
	/** 0 = any. */
	readonly fromPort: number;
	readonly toPort: number;
	/** enum hook that sees the first packet. */
	readonly hook: number;
	/** enum explain_flag: BACKEND = `to` was chosen by a service already. */
	readonly flags: number;
}

/** Fields are those of struct explain_flow. */
export interface FlowAnswer extends Omit<ExplainFlow, 'src' | 'dst' | 'backendAddr'> {
	/** '' = no service. */
	readonly backendAddress: Address | '';
}

/** Room for a link header, which the kernel wants in front. */
const ETHERNET_BYTES = 14;
const IPV4_TYPE = Uint8Array.of(0x08, 0x00);

/** @throws FairleadError PROGRAM_LOAD when the program refuses to answer */
export function askExplainer({ program }: LooseProgram, question: FlowQuestion): FlowAnswer {
	const { from, to, proto, fromPort, toPort, hook, flags } = question;
	const asked: ExplainFlow = {
		...ExplainFlow.decode(new Uint8Array(ExplainFlow.size)),
		src: addressBytes(from),
		dst: addressBytes(to),
		sport: fromPort,
		dport: toPort,
		family: familyOf(from),
		proto,
		hook,
		flags,
	};
	const data = new Uint8Array(ETHERNET_BYTES + ExplainFlow.size);
	data.set(IPV4_TYPE, ETHERNET_BYTES - IPV4_TYPE.length);
	data.set(ExplainFlow.encode(asked), ETHERNET_BYTES);
	const { retval, data: out } = program.testRun({ data });
	if (retval !== 0) {
		throw new FairleadError('PROGRAM_LOAD', `program explain: cannot answer: it returned ${retval}`);
	}
	const { src: _src, dst: _dst, backendAddr, ...answer } = ExplainFlow.decode(out, ETHERNET_BYTES);
	const chosen = backendAddr.some((byte) => byte !== 0);
	return { ...answer, backendAddress: chosen ? addressOfBytes(backendAddr) : '' };
}
