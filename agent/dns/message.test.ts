import { type Answer, encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { readAnswer, readQuery } from './message.ts';

const A = (name: string, data: string, ttl = 60): Answer => ({ name, type: 'A', class: 'IN', ttl, data });
const AAAA = (name: string, data: string, ttl = 60): Answer => ({ name, type: 'AAAA', class: 'IN', ttl, data });
const CNAME = (name: string, data: string, ttl = 60): Answer => ({ name, type: 'CNAME', class: 'IN', ttl, data });

function answer(name: string, answers: Answer[], flags = 0x180): Buffer {
	return encode({ type: 'response', id: 7, flags, questions: [{ type: 'A', name, class: 'IN' }], answers });
}

const addresses = (message: Buffer) => readAnswer(message)?.addresses;

describe('queries', () => {
	it('are read with their name in lower case', () => {
		const query = encode({
			type: 'query',
			id: 513,
			questions: [{ type: 'AAAA', name: 'WWW.Example.COM', class: 'IN' }],
		});
		expect(readQuery(query)).toEqual({ id: 513, name: 'www.example.com', type: 28 });
		expect(readAnswer(query)).toBeUndefined();
	});

	it.each([
		['an answer', answer('a.test', [])],
		['a question in another class', encode({ type: 'query', questions: [{ type: 'A', name: 'a.test', class: 'CH' }] })],
		['another operation', encode({ type: 'query', flags: 0x2000, questions: [{ type: 'A', name: 'a.test' }] })],
		['two questions', encode({ type: 'query', questions: ['a.test', 'b.test'].map((name) => ({ type: 'A', name })) })],
		['no question', encode({ type: 'query', questions: [] })],
		['the root', encode({ type: 'query', questions: [{ type: 'NS', name: '.' }] })],
		['a label with a dot in it', Buffer.from(`000101000001000000000000${'05612e636f6d'}00${'00010001'}`, 'hex')],
		['a compressed name', Buffer.from('000101000001000000000000c00c00010001', 'hex')],
	])('leave out %s', (_what, message) => {
		expect(readQuery(message)).toBeUndefined();
	});
});

describe('answers', () => {
	it('give the addresses of their question', () => {
		const message = answer('a.test', [A('a.test', '203.0.113.1', 30), A('A.Test', '203.0.113.2', 40)]);
		expect(readAnswer(message)).toEqual({
			id: 7,
			name: 'a.test',
			type: 1,
			addresses: [
				{ address: '203.0.113.1', ttlSeconds: 30 },
				{ address: '203.0.113.2', ttlSeconds: 40 },
			],
		});
		expect(addresses(answer('a.test', [AAAA('a.test', '2001:DB8:0::1')]))).toEqual([
			{ address: '2001:db8::1', ttlSeconds: 60 },
		]);
	});

	it('are followed over aliases in any order, with the least of all lifetimes', () => {
		const chain = [A('c.test', '203.0.113.1', 50), CNAME('b.test', 'C.test', 5), CNAME('a.test', 'b.test', 20)];
		expect(addresses(answer('a.test', chain))).toEqual([{ address: '203.0.113.1', ttlSeconds: 5 }]);
		const loop = [CNAME('a.test', 'b.test'), CNAME('b.test', 'a.test'), A('b.test', '203.0.113.3')];
		expect(addresses(answer('a.test', loop))).toEqual([{ address: '203.0.113.3', ttlSeconds: 60 }]);
	});

	it('say nothing about names that the question does not lead to', () => {
		expect(addresses(answer('a.test', [A('b.test', '203.0.113.1'), A('a.test', '203.0.113.2')]))).toEqual([
			{ address: '203.0.113.2', ttlSeconds: 60 },
		]);
		const [type, id, questions] = ['response', 7, [{ type: 'A', name: 'a.test' }]] as const;
		const additional = encode({ type, id, questions: [...questions], additionals: [A('a.test', '203.0.113.1')] });
		expect(addresses(additional)).toEqual([]);
	});

	it('that refuse give no addresses, whatever they hold', () => {
		expect(addresses(answer('a.test', [A('a.test', '203.0.113.1')], 0x183))).toEqual([]);
	});

	it('that are cut off or damaged at any place are no answers, or give a part of the addresses', () => {
		const whole = answer('a.test', [CNAME('a.test', 'b.test'), A('b.test', '203.0.113.1'), A('b.test', '203.0.113.2')]);
		const known = ['203.0.113.1', '203.0.113.2'];
		for (let length = 0; length < whole.length; length++) {
			for (const { address } of addresses(whole.subarray(0, length)) ?? []) expect(known).toContain(address);
		}
		for (let i = 0; i < whole.length; i++) {
			for (const byte of [0, 0xff, 0xc0, (whole[i] ?? 0) ^ 1]) {
				const damaged = Buffer.from(whole);
				damaged[i] = byte;
				expect(() => readAnswer(damaged)).not.toThrow();
				expect(() => readQuery(damaged)).not.toThrow();
			}
		}
	});
});
