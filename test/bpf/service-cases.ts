/**
 * Services for packets that the socket programs did not translate, and their conntrack entries: the same tests for every way
 * in which the programs can be loaded (service.test.ts).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Backend, CtFlags, DropReason, EventType, FlowEvent, SvcEntry } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import { addressText, crc32c, echo, ip, layerOf, parse, quoted, raw, sctp, tcp, u16, udp } from '../lib/packet.ts';
import type { Addresses } from './world.ts';
import {
	BACKEND_PORT,
	expectAnswer,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	SNAT,
	TestNode,
	WORLD,
} from './world.ts';

/** @param config  constants of the programs, on top of the world's */
export function describeServices(name: string, config: Readonly<Record<string, number>>): void {
	describe(name, () => {
		let node: TestNode;
		beforeAll(async () => {
			node = await TestNode.start({ ...WORLD, config: { ...WORLD.config, ...config } });
		});
		afterAll(() => node?.close());
		beforeEach(() => node.reset());

		const PAYLOAD = raw('an odd number of bytes.');

		async function open(x: Addresses, port: number, sport = 40000): Promise<RunResult> {
			return await node.fromPod(
				POD_A,
				podFrame(POD_A, ip(x.a, x.vip), tcp({ sport, dport: port, flags: 'S', seq: 1 })),
			);
		}

		describe.each(FAMILIES)('service of a pod, IPv$family', (x) => {
			it('translates a TCP SYN to the backend, one hop less, with the MACs of the target pod', async () => {
				const sent = podFrame(
					POD_A,
					ip(x.a, x.vip, { ttl: 64 }),
					tcp({ sport: 40000, dport: SERVICE.web, flags: 'S', seq: 7 }),
				);
				const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
				expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_B.hostMac, dst: POD_B.mac });
				expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: 40000, dport: BACKEND_PORT.web, seq: 7, flags: 'S' });
				expect(parsed.layers[1]).toMatchObject({
					src: x.a,
					dst: x.b,
					...(x.family === 4 ? { ttl: 63 } : { hopLimit: 63 }),
				});
			});

			it('makes two entries: one of the service, one of the backend', async () => {
				await open(x, SERVICE.web);
				const all = await node.flows();
				expect(all).toHaveLength(2);
				const client = { address: x.a, port: 40000 };
				const forward = all.find((f) => f.flags & CtFlags.SVC_FORWARD);
				const reply = all.find((f) => f.flags & CtFlags.SVC_REPLY);
				expect(forward).toMatchObject({ client, server: { address: x.vip, port: SERVICE.web } });
				expect(reply).toMatchObject({ client, server: { address: x.b, port: BACKEND_PORT.web } });
				expect(forward && addressText(forward.entry.xlateAddr)).toBe(x.b);
				expect(reply && addressText(reply.entry.xlateAddr)).toBe(x.vip);
				expect(forward?.entry.xlatePort).toBe(BACKEND_PORT.web);
				expect(reply?.entry.xlatePort).toBe(SERVICE.web);
			});

			it("gives the backend's answers the service's address back and counts both directions", async () => {
				await open(x, SERVICE.web);
				const answer = podFrame(
					POD_B,
					ip(x.b, x.a),
					tcp({ sport: BACKEND_PORT.web, dport: 40000, flags: 'SA', seq: 9, ack: 2 }),
				);
				const parsed = expectVerdict(answer, await node.fromPod(POD_B, answer), VERDICT.REDIRECT);
				expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_A.hostMac, dst: POD_A.mac });
				expect(ipOf((await node.fromPod(POD_B, answer)).packet)).toMatchObject({ src: x.vip, dst: x.a });
				expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: SERVICE.web, dport: 40000, flags: 'SA' });
				const ack = podFrame(
					POD_A,
					ip(x.a, x.vip),
					tcp({ sport: 40000, dport: SERVICE.web, flags: 'PA', seq: 2, ack: 10 }),
					PAYLOAD,
				);
				expectVerdict(ack, await node.fromPod(POD_A, ack), VERDICT.REDIRECT);
				const reply = (await node.flows()).find((f) => f.flags & CtFlags.SVC_REPLY);
				expect(reply?.flags).toSatisfy((flags: number) => (flags & CtFlags.ESTABLISHED) !== 0);
				expect(reply?.entry.packets[1]).toBe(2);
				const forward = (await node.flows()).find((f) => f.flags & CtFlags.SVC_FORWARD);
				expect(forward?.entry.packets[0]).toBe(2);
				const length = x.family === 4 ? 20 : 40;
				expect(forward?.entry.bytes[0]).toBe(BigInt(length + 20 + length + 20 + 23));
			});

			it('keeps the backend of a connection when the service changes, and sends new ones to the new backend', async () => {
				await open(x, SERVICE.web);
				const backends = await node.dataplane.entries('backends');
				const row = backends.find(({ value }) => {
					const b = Backend.decode(value);
					return addressText(b.addr) === x.pod2 && b.port === BACKEND_PORT.web;
				});
				const services = await node.dataplane.entries('services');
				const web = services.find(({ key, value }) => {
					const text = addressText(key.subarray(0, 16));
					return text === x.vip && key[17] === SERVICE.web && key[16] === 0 && SvcEntry.decode(value).allCount === 1;
				});
				const slots = await node.dataplane.entries('slots');
				if (!row || !web) {
					throw new Error('the world has no tunnel backend or no web service');
				}
				const other = slots.find(
					({ value }) => Buffer.from(value).readUInt32LE(0) === Buffer.from(row.key).readUInt32LE(0),
				);
				const entry = SvcEntry.decode(web.value);
				const chunk = other ? Buffer.from(other.key).readUInt32LE(0) : 0;
				try {
					const changed = SvcEntry.encode({ ...entry, generation: entry.generation + 1, allBase: chunk * 16 });
					await node.dataplane.set('services', web.key, changed);
					const old = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40000, dport: SERVICE.web, flags: 'A', seq: 2 }));
					expect(ipOf((await node.fromPod(POD_A, old)).packet).dst).toBe(x.b);
					expect(ipOf((await open(x, SERVICE.web, 40001)).packet).dst).toBe(x.pod2);
				} finally {
					await node.dataplane.set('services', web.key, web.value);
				}
			});

			it.each([
				['tunnel', SERVICE.tunnel, 'pod2'],
				['direct', SERVICE.direct, 'pod3'],
			] as const)('sends to a backend behind %s routing', async (_, port, target) => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40000, dport: port, flags: 'S' }));
				const got = await node.fromPod(POD_A, sent);
				expectVerdict(sent, got, VERDICT.REDIRECT);
				expect(ipOf(got.packet)).toEqual({ src: x.a, dst: x[target], ttl: 63 });
			});

			it('lets a pod reach itself through a service, by the node address, and finds the way back', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40000, dport: SERVICE.self, flags: 'S', seq: 1 }));
				const got = await node.fromPod(POD_A, sent);
				const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
				expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.a });
				const port = layerOf(parsed, 'tcp').sport;
				expect(port).toBeGreaterThanOrEqual(SNAT.min);
				expect(port).toBeLessThanOrEqual(SNAT.max);
				const answer = podFrame(
					POD_A,
					ip(x.a, x.node),
					tcp({ sport: BACKEND_PORT.web, dport: port, flags: 'SA', seq: 5, ack: 2 }),
				);
				const back = await node.fromPod(POD_A, answer);
				const backParsed = expectVerdict(answer, back, VERDICT.REDIRECT);
				expect(ipOf(back.packet)).toMatchObject({ src: x.vip, dst: x.a });
				expect(layerOf(backParsed, 'tcp')).toMatchObject({ sport: SERVICE.self, dport: 40000 });
				const ack = podFrame(
					POD_A,
					ip(x.a, x.vip),
					tcp({ sport: 40000, dport: SERVICE.self, flags: 'A', seq: 2, ack: 6 }),
				);
				const again = await node.fromPod(POD_A, ack);
				expectVerdict(ack, again, VERDICT.REDIRECT);
				expect(ipOf(again.packet)).toMatchObject({ src: x.node, dst: x.a });
				expect(layerOf(parse(again.packet), 'tcp').sport).toBe(port);
			});

			it('gives a second service connection of the same source port to the same backend another source port', async () => {
				await open(x, SERVICE.web, 41000);
				const direct = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 41001, dport: BACKEND_PORT.web, flags: 'S' }));
				expectVerdict(direct, await node.fromPod(POD_A, direct), VERDICT.REDIRECT);
				const clash = await open(x, SERVICE.web, 41001);
				const out = layerOf(parse(clash.packet), 'tcp');
				expect(clash.verdict).toBe(VERDICT.REDIRECT);
				expect(parse(clash.packet).problems).toEqual([]);
				expect(out.dport).toBe(BACKEND_PORT.web);
				expect(out.sport).not.toBe(41001);
				const answer = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: out.sport, flags: 'SA' }));
				const back = expectVerdict(answer, await node.fromPod(POD_B, answer), VERDICT.REDIRECT);
				expect(layerOf(back, 'tcp')).toMatchObject({ sport: SERVICE.web, dport: 41001 });
				const other = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: 41001, flags: 'SA' }));
				const plain = expectVerdict(other, await node.fromPod(POD_B, other), VERDICT.REDIRECT);
				expect(layerOf(plain, 'tcp')).toMatchObject({ sport: BACKEND_PORT.web, dport: 41001 });
			});

			it('does not give a connection the port that another one of its client was given', async () => {
				const direct = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 41001, dport: BACKEND_PORT.web, flags: 'S' }));
				expectVerdict(direct, await node.fromPod(POD_A, direct), VERDICT.REDIRECT);
				const given = layerOf(parse((await open(x, SERVICE.web, 41001)).packet), 'tcp').sport;
				const own = layerOf(parse((await open(x, SERVICE.web, given)).packet), 'tcp').sport;
				expect(own).not.toBe(given);
				for (const [port, client] of [
					[given, 41001],
					[own, given],
				] as const) {
					const answer = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: port, flags: 'SA' }));
					const back = expectVerdict(answer, await node.fromPod(POD_B, answer), VERDICT.REDIRECT);
					expect(layerOf(back, 'tcp')).toMatchObject({ sport: SERVICE.web, dport: client });
				}
			});

			it('translates UDP both ways, and leaves a missing checksum missing over IPv4', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), udp({ sport: 5000, dport: SERVICE.dns }), PAYLOAD);
				const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
				expect(layerOf(parsed, 'udp')).toMatchObject({ sport: 5000, dport: BACKEND_PORT.dns });
				const answer = podFrame(POD_B, ip(x.b, x.a), udp({ sport: BACKEND_PORT.dns, dport: 5000 }), PAYLOAD);
				const back = expectVerdict(answer, await node.fromPod(POD_B, answer), VERDICT.REDIRECT);
				expect(layerOf(back, 'udp')).toMatchObject({ sport: SERVICE.dns, dport: 5000 });
				if (x.family === 4) {
					const without = podFrame(
						POD_A,
						ip(x.a, x.vip),
						udp({ sport: 5001, dport: SERVICE.dns, checksum: 0 }),
						PAYLOAD,
					);
					const got = expectVerdict(without, await node.fromPod(POD_A, without), VERDICT.REDIRECT);
					expect(layerOf(got, 'udp')).toMatchObject({ dport: BACKEND_PORT.dns, checksum: 0 });
				}
			});

			it('never turns a UDP checksum into 0, which would mean none', async () => {
				const datagram = (word: number, dst: string, dport: number) =>
					podFrame(POD_A, ip(x.a, dst), udp({ sport: 5000, dport }), raw(u16(word)));
				// the word that makes the translated datagram's checksum come out as 0, sent as 0xffff
				const word = layerOf(parse(datagram(0, x.b, BACKEND_PORT.dns)), 'udp').checksum ?? 0;
				const sent = datagram(word, x.vip, SERVICE.dns);
				const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
				expect(layerOf(parsed, 'udp').checksum).toBe(0xffff);
			});

			it.each([0, 1, 3, 4, 100, 1300])(
				'rewrites the CRC32c of an SCTP packet with %i bytes of chunks',
				async (size) => {
					const chunks = raw(Uint8Array.from({ length: size }, (_, i) => i * 7));
					const sent = podFrame(POD_A, ip(x.a, x.vip), sctp({ sport: 6000, dport: SERVICE.sctp, tag: 1 }), chunks);
					const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
					expect(layerOf(parsed, 'sctp')).toMatchObject({ sport: 6000, dport: BACKEND_PORT.sctp, tag: 1 });
					const answer = podFrame(POD_B, ip(x.b, x.a), sctp({ sport: BACKEND_PORT.sctp, dport: 6000 }), chunks);
					const back = expectVerdict(answer, await node.fromPod(POD_B, answer), VERDICT.REDIRECT);
					expect(layerOf(back, 'sctp')).toMatchObject({ sport: SERVICE.sctp, dport: 6000 });
					expect(crc32c(new Uint8Array())).toBe(0);
				},
			);

			it('keeps an SCTP association with a backend that the service has given up, and begins none with it', async () => {
				const packet = (chunk: number) =>
					podFrame(
						POD_A,
						ip(x.a, x.vip),
						sctp({ sport: 6001, dport: SERVICE.sctp, tag: 1 }),
						raw(Uint8Array.of(chunk, 0, 0, 4)),
					);
				const [data, init] = [packet(0), packet(1)];
				expectVerdict(init, await node.fromPod(POD_A, init), VERDICT.REDIRECT);
				const rows = (await node.dataplane.entries('backends')).filter(({ value }) => {
					const { addr, port } = Backend.decode(value);
					return addressText(addr) === x.b && port === BACKEND_PORT.sctp;
				});
				expect(rows).toHaveLength(1);
				try {
					for (const { key, value } of rows) {
						const old = Backend.decode(value);
						const gone = Backend.encode({ ...old, flags: 0, generation: old.generation + 1 });
						await node.dataplane.set('backends', key, gone);
					}
					expectVerdict(data, await node.fromPod(POD_A, data), VERDICT.REDIRECT);
					expect(ipOf((await node.fromPod(POD_A, data)).packet).dst).toBe(x.b);
					expectAnswer(init, await node.fromPod(POD_A, init), DropReason.NO_BACKEND);
				} finally {
					for (const { key, value } of rows) await node.dataplane.set('backends', key, value);
				}
			});

			// newer kernels tell which checksums those are, and packets of test runs have none
			if (config.has_kern_ctx === 0) {
				it('leaves an SCTP checksum of 0 to the device that will fill it in', async () => {
					const header = { sport: 6000, dport: SERVICE.sctp, tag: 1, checksum: 0 };
					const sent = podFrame(POD_A, ip(x.a, x.vip), sctp(header), raw('chunks'));
					const result = await node.fromPod(POD_A, sent);
					expect(result.verdict).toBe(VERDICT.REDIRECT);
					const at = sent.length - 'chunks'.length - 12;
					const received = new DataView(result.packet.buffer, result.packet.byteOffset + at, 12);
					expect(received.getUint16(2)).toBe(BACKEND_PORT.sctp);
					expect(received.getUint32(8)).toBe(0);
				});
			}

			it('resolves a pod without a service to itself with one entry and reports the flow once', async () => {
				await node.dataplane.events();
				const sent = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 42000, dport: 22, flags: 'S' }));
				expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
				expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
				expect(await node.flows()).toHaveLength(1);
				const events = (await node.dataplane.events()).map((bytes) => FlowEvent.decode(bytes));
				expect(events.map((e) => e.type)).toEqual([EventType.FLOW_NEW]);
				expect(events[0]).toMatchObject({
					sport: 42000,
					dport: 22,
					family: x.family,
					srcIdentity: 257,
					dstIdentity: 258,
				});
			});
		});

		describe.each(FAMILIES)('end of a connection, IPv$family', (x) => {
			const forward = (flags: string) =>
				podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40000, dport: SERVICE.web, flags, seq: 2, ack: 2 }));
			const reply = (flags: string) =>
				podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: 40000, flags, seq: 2, ack: 2 }));

			async function closing(): Promise<boolean[]> {
				return (await node.flows()).map((f) => (f.flags & CtFlags.CLOSING) !== 0);
			}

			it('is closing after a RST', async () => {
				await open(x, SERVICE.web);
				await node.fromPod(POD_B, reply('RA'));
				expect(await closing()).toEqual([true, true]);
			});

			it('is closing after a FIN of each side, not of one', async () => {
				await node.dataplane.events();
				const plain = (
					pod: typeof POD_A | typeof POD_B,
					from: string,
					to: string,
					sport: number,
					dport: number,
					flags: string,
				) => node.fromPod(pod, podFrame(pod, ip(from, to), tcp({ sport, dport, flags })));
				await plain(POD_A, x.a, x.b, 43000, 22, 'S');
				await plain(POD_B, x.b, x.a, 22, 43000, 'SA');
				await plain(POD_A, x.a, x.b, 43000, 22, 'FA');
				expect(await closing()).toEqual([false]);
				await plain(POD_B, x.b, x.a, 22, 43000, 'FA');
				expect(await closing()).toEqual([true]);
				const events = (await node.dataplane.events()).map((bytes) => FlowEvent.decode(bytes));
				expect(events.map((e) => e.type)).toEqual([EventType.FLOW_NEW, EventType.FLOW_CLOSE]);
			});

			it('of a service is closing after a FIN of each side, and still translates the last packets', async () => {
				await node.dataplane.events();
				await open(x, SERVICE.web);
				await node.fromPod(POD_B, reply('SA'));
				await node.fromPod(POD_A, forward('FA'));
				expect(await closing()).toEqual([false, false]);
				await node.fromPod(POD_B, reply('FA'));
				expect(await closing()).toEqual([true, true]);
				const events = (await node.dataplane.events()).map((bytes) => FlowEvent.decode(bytes));
				expect(events.map((e) => e.type)).toEqual([EventType.FLOW_NEW, EventType.FLOW_CLOSE]);
				const last = await node.fromPod(POD_A, forward('A'));
				expect(ipOf(last.packet).dst).toBe(x.b);
				const lastReply = await node.fromPod(POD_B, reply('A'));
				expect(ipOf(lastReply.packet).src).toBe(x.vip);
			});

			it('lets the same port be used again by a new SYN, which may get any backend', async () => {
				await open(x, SERVICE.web);
				await node.fromPod(POD_B, reply('SA'));
				await node.fromPod(POD_A, forward('RA'));
				await node.fromPod(POD_B, reply('RA'));
				const sent = forward('S');
				const got = await node.fromPod(POD_A, sent);
				expectVerdict(sent, got, VERDICT.REDIRECT);
				expect(ipOf(got.packet).dst).toBe(x.b);
				const answer = await node.fromPod(POD_B, reply('SA'));
				expect(ipOf(answer.packet).src).toBe(x.vip);
				expect((await closing()).every((c) => !c)).toBe(true);
			});

			it('does not send a new SYN of a used port to a backend that is gone', async () => {
				await open(x, SERVICE.tunnel, 44000);
				const rows = await node.dataplane.entries('backends');
				const rowsOfPod2 = rows.filter(({ value }) => addressText(Backend.decode(value).addr) === x.pod2);
				try {
					for (const { key, value } of rowsOfPod2) {
						await node.dataplane.set(
							'backends',
							key,
							Backend.encode({ ...Backend.decode(value), flags: 0, generation: 2 }),
						);
					}
					const ack = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 44000, dport: SERVICE.tunnel, flags: 'A' }));
					expect(ipOf((await node.fromPod(POD_A, ack)).packet).dst).toBe(x.pod2);
					expect(indexKey(1)).toHaveLength(4);
				} finally {
					for (const { key, value } of rowsOfPod2) {
						await node.dataplane.set('backends', key, value);
					}
				}
			});
		});

		describe.each(FAMILIES)('refusals, IPv$family', (x) => {
			it.each([
				['a service without endpoints', SERVICE.empty, DropReason.NO_BACKEND],
				['a port that the service does not have', SERVICE.undefined, DropReason.UNDEFINED_PORT],
			])('answers a SYN to %s with a RST that the client accepts', async (_, port, reason) => {
				const sent = podFrame(
					POD_A,
					ip(x.a, x.vip),
					tcp({ sport: 40000, dport: port, flags: 'S', seq: 0xfffffffe, options: Uint8Array.of(2, 4, 5, 180) }),
				);
				const got = await node.fromPod(POD_A, sent);
				const parsed = expectAnswer(sent, got, reason);
				expect(ipOf(got.packet)).toMatchObject({ src: x.vip, dst: x.a });
				expect(layerOf(parsed, 'tcp')).toMatchObject({
					sport: port,
					dport: 40000,
					flags: 'RA',
					seq: 0,
					ack: 0xffffffff,
				});
			});

			it('counts payload and FIN into the acknowledgement of a RST, and takes the sequence from an ACK', async () => {
				const data = podFrame(
					POD_A,
					ip(x.a, x.vip),
					tcp({ sport: 1, dport: SERVICE.empty, flags: 'SF', seq: 10 }),
					PAYLOAD,
				);
				const parsed = expectAnswer(data, await node.fromPod(POD_A, data), DropReason.NO_BACKEND);
				expect(layerOf(parsed, 'tcp')).toMatchObject({ flags: 'RA', seq: 0, ack: 10 + 23 + 2 });
				const ack = podFrame(
					POD_A,
					ip(x.a, x.vip),
					tcp({ sport: 2, dport: SERVICE.empty, flags: 'PA', seq: 10, ack: 77 }),
					PAYLOAD,
				);
				const second = expectAnswer(ack, await node.fromPod(POD_A, ack), DropReason.NO_BACKEND);
				expect(layerOf(second, 'tcp')).toMatchObject({ flags: 'R', seq: 77 });
			});

			it('never answers a RST with a RST', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 3, dport: SERVICE.empty, flags: 'R' }));
				expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_BACKEND);
			});

			it('answers UDP with port unreachable that quotes what the client sent', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), udp({ sport: 5000, dport: SERVICE.emptyUdp }), PAYLOAD);
				const got = await node.fromPod(POD_A, sent);
				const parsed = expectAnswer(sent, got, DropReason.NO_BACKEND);
				expect(ipOf(got.packet)).toMatchObject({ src: x.vip, dst: x.a });
				expect(layerOf(parsed, x.family === 4 ? 'icmp' : 'icmpv6')).toMatchObject(
					x.family === 4 ? { type: 3, code: 3, rest: 0 } : { type: 1, code: 4, rest: 0 },
				);
				expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.vip });
				expect(parsed.quoted && layerOf(parsed.quoted, 'udp')).toMatchObject({ sport: 5000, dport: SERVICE.emptyUdp });
			});

			it('drops without an answer when only other nodes have endpoints and the policy is Local', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 4, dport: SERVICE.local, flags: 'S' }));
				expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_LOCAL_BACKEND);
			});

			it('makes no entry for what it refuses', async () => {
				await open(x, SERVICE.empty);
				await open(x, SERVICE.undefined);
				expect(await node.flows()).toEqual([]);
			});

			it('does not carry an ICMP echo to a service address anywhere', async () => {
				const sent = podFrame(POD_A, ip(x.a, x.vip), echo(x.family, { id: 1, seq: 1 }), PAYLOAD);
				const got = await node.fromPod(POD_A, sent);
				expect(got.verdict === VERDICT.DROP || got.verdict === VERDICT.REDIRECT).toBe(true);
				expect(Object.values(got.drops)).toEqual([1]);
				expect(quoted(got.packet).length).toBeGreaterThan(0);
			});
		});
	});
}
