/**
 * Messages of NETLINK_SOCK_DIAG (linux/inet_diag.h): which sockets are connected to an address, and the end of one.
 */
import type { Address } from '../model/address.ts';
import { addressBytes, familyOf, formatEndpoint } from '../model/address.ts';
import { type NetlinkMessage, NlFlag } from './netlink-codec.ts';

export const NETLINK_SOCK_DIAG = 4;

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const INET_DIAG_REQ_BYTECODE = 1;
const INET_DIAG_BC_D_COND = 8;

const AF_INET = 2;
const AF_INET6 = 10;
const PROTO_TCP = 6;

/** struct inet_diag_req_v2: family, protocol, ext, pad, states, then struct inet_diag_sockid. */
const REQUEST_BYTES = 56;
const SOCKID_IN_REQUEST = 8;
/** struct inet_diag_msg: family, state, timer, retrans, then struct inet_diag_sockid. */
const STATE_IN_REPLY = 1;
const RETRANS_IN_REPLY = 3;
const SOCKID_IN_REPLY = 4;
const SOCKID_BYTES = 48;
const REPLY_BYTES = 72;
/** In struct inet_diag_sockid. */
const COOKIE = 40;

/**
 * enum of net/tcp_states.h as bits: those that still wait for something of their peer (ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1,
 * FIN_WAIT2). After the peer's FIN (CLOSE_WAIT and on) its whole answer is here, and an error would hide it from the program.
 * UDP knows ESTABLISHED only.
 */
const CONNECTED_TCP = [1, 2, 3, 4, 5].reduce((mask, state) => mask | (1 << state), 0);
const CONNECTED_UDP = 1 << 1;
const SYN_SENT = 2;

/** Who a socket is connected to. */
export interface Peer {
	readonly address: Address;
	readonly port: number;
	/** IP protocol number: TCP or UDP. */
	readonly proto: number;
}

/** A socket as the kernel lists it. */
export interface DiagSocket {
	/** bpf_get_socket_cookie of it. */
	readonly cookie: bigint;
	/** AF_INET or AF_INET6; the latter for IPv4 too when the program uses mapped addresses. */
	readonly family: number;
	/** struct inet_diag_sockid, by which the kernel finds it again. */
	readonly id: Uint8Array;
	/** TCP: how often in a row the kernel has sent something again, or asked whether the peer is there, and got no answer. */
	readonly unanswered: number;
	/** TCP: its SYN has not been answered. */
	readonly connecting: boolean;
}

/** Asks for the sockets connected to a peer: one request per socket family that can reach it. */
export function listConnected(peer: Peer): NetlinkMessage[] {
	const families = familyOf(peer.address) === 4 ? [AF_INET, AF_INET6] : [AF_INET6];
	const states = peer.proto === PROTO_TCP ? CONNECTED_TCP : CONNECTED_UDP;
	const filter = peerFilter(peer);
	return families.map((family) => {
		const payload = Buffer.alloc(REQUEST_BYTES + 4 + filter.length);
		payload.writeUInt8(family, 0);
		payload.writeUInt8(peer.proto, 1);
		payload.writeUInt32LE(states, 4);
		payload.writeUInt16LE(4 + filter.length, REQUEST_BYTES);
		payload.writeUInt16LE(INET_DIAG_REQ_BYTECODE, REQUEST_BYTES + 2);
		filter.copy(payload, REQUEST_BYTES + 4);
		const what = `list sockets connected to ${formatEndpoint(peer.address, peer.port)}`;
		return { type: SOCK_DIAG_BY_FAMILY, flags: NlFlag.REQUEST | NlFlag.DUMP, payload, what };
	});
}

/**
 * One condition of the kernel's small filter language: struct inet_diag_bc_op, then struct inet_diag_hostcond. A condition that
 * holds leads to the end of the program, one that does not leads beyond it. IPv4 conditions match mapped addresses too.
 */
function peerFilter({ address, port }: Peer): Buffer {
	const bytes = addressBytes(address);
	const isIpv4 = familyOf(address) === 4;
	const raw = isIpv4 ? bytes.subarray(12) : bytes;
	const program = Buffer.alloc(4 + 8 + raw.length);
	program.writeUInt8(INET_DIAG_BC_D_COND, 0);
	program.writeUInt8(program.length, 1);
	program.writeUInt16LE(program.length + 4, 2);
	program.writeUInt8(isIpv4 ? AF_INET : AF_INET6, 4);
	program.writeUInt8(raw.length * 8, 5);
	program.writeInt32LE(port, 8);
	program.set(raw, 12);
	return program;
}

/** @returns undefined when the record is too short to be one */
export function parseDiagSocket(record: Buffer): DiagSocket | undefined {
	if (record.length < REPLY_BYTES) return undefined;
	const id = Uint8Array.from(record.subarray(SOCKID_IN_REPLY, SOCKID_IN_REPLY + SOCKID_BYTES));
	// Two 32-bit words, the lower one first, in host order.
	const cookie = Buffer.from(id.buffer).readBigUInt64LE(COOKIE);
	return {
		cookie,
		family: record.readUInt8(0),
		id,
		unanswered: record.readUInt8(RETRANS_IN_REPLY),
		connecting: record.readUInt8(STATE_IN_REPLY) === SYN_SENT,
	};
}

/** Ends exactly this socket: its owner gets ECONNABORTED. One that is gone is fine. */
export function destroySocket(socket: DiagSocket, proto: number): NetlinkMessage {
	const payload = Buffer.alloc(REQUEST_BYTES);
	payload.writeUInt8(socket.family, 0);
	payload.writeUInt8(proto, 1);
	payload.writeUInt32LE(0xffffffff, 4);
	payload.set(socket.id, SOCKID_IN_REQUEST);
	const what = `end socket ${socket.cookie}`;
	return { type: SOCK_DESTROY, flags: NlFlag.REQUEST | NlFlag.ACK, payload, what, tolerate: ['ENOENT'] };
}

/** A socket that cannot exist, to ask whether the kernel can end sockets: ENOENT = it can, EOPNOTSUPP = not. */
export const NO_SOCKET: DiagSocket = {
	cookie: 0n,
	family: AF_INET,
	id: new Uint8Array(SOCKID_BYTES),
	unanswered: 0,
	connecting: false,
};
