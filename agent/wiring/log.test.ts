import { describe, expect, it } from 'vitest';
import { createLog } from './log.ts';

describe('the log', () => {
	it('writes one JSON object per record, with level in a word and times that people can read', () => {
		const lines: string[] = [];
		const log = createLog('info', 'node-a', { write: (line) => lines.push(line) });
		log.debug({ ops: 1 }, 'not written');
		log.warn({ tookMs: 5.500115000000051, ops: 3, failed: ['a'] }, 'services applied');
		expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
			{
				level: 'warn',
				time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
				node: 'node-a',
				tookMs: 5.5,
				ops: 3,
				failed: ['a'],
				msg: 'services applied',
			},
		]);
	});
});
