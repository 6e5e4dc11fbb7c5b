/** Every suite, in the order in which they run. */
import { agentSuite } from './agent.ts';
import { cniSuite } from './cni.ts';
import type { Suite } from './figures.ts';
import { imageSuite } from './image.ts';
import { k8sSuite } from './k8s.ts';
import { loadSuite } from './load.ts';
import { policySuite } from './policy.ts';
import { servicesTrafficSuite } from './services-traffic.ts';
import { syncSuite } from './sync.ts';
import { tcSuite } from './tc.ts';
import { trafficSuite } from './traffic.ts';
import { xdpSuite } from './xdp.ts';

export const suites: readonly Suite[] = [
	tcSuite,
	xdpSuite,
	trafficSuite,
	servicesTrafficSuite,
	cniSuite,
	syncSuite,
	agentSuite,
	k8sSuite,
	loadSuite,
	policySuite,
	imageSuite,
];
