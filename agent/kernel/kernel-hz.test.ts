import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configuredHz, kernelHz, measuredHz } from './kernel-hz.ts';

describe('jiffies per second', () => {
	it('is one of the rates kernels are built with', () => {
		expect([100, 250, 300, 1000]).toContain(kernelHz());
	});

	it('is measured as what the configuration says, on kernels that show both', () => {
		const configured = configuredHz();
		const counts = existsSync('/proc/timer_list') && /^jiffies: /m.test(readFileSync('/proc/timer_list', 'utf8'));
		if (counts && configured !== undefined) expect(measuredHz()).toBe(configured);
		else expect(measuredHz()).toBeGreaterThan(0);
	});
});
