import { describe, expect, it } from 'vitest';
import { watchedResources } from './resources.ts';

const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

describe('what is watched of services', () => {
	it.each([
		['those without the label by default', '', `!service.kubernetes.io/headless,!${PROXY_NAME}`],
		['those of its own name when it has one', 'mine', `!service.kubernetes.io/headless,${PROXY_NAME}=mine`],
	])('is %s, and their slices', (_, proxyName, selector) => {
		const selectors = watchedResources('node-a', proxyName)
			.filter(({ kind }) => kind === 'Service' || kind === 'EndpointSlice')
			.map(({ labelSelector }) => labelSelector);
		expect(selectors).toEqual([selector, selector]);
	});
});
