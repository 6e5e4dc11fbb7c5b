import { expect, it } from 'vitest';
import { parseEndpointSlice } from '../model/endpoint-slice.ts';
import { isKept } from './services.ts';

const parsed = parseEndpointSlice({
	metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
	addressType: 'IPv4',
	ports: [{ name: '', port: 8080, protocol: 'TCP' }],
	endpoints: [{ addresses: ['10.244.0.1'], conditions: { ready: false } }],
});
if (!parsed.ok) throw new Error('the slice is good');
const slice = parsed.value;
const view = { slicesOf: (service: string) => (service === 'shop/web' ? [slice] : []) };
const gone = { address: '10.244.0.1', port: 8080, proto: 6, svcId: 1, owner: 'shop/web', frontends: [] };

it.each([
	['keeps connections to an endpoint that is only not ready', gone, true],
	['ends those to an endpoint that is in no slice any more', { ...gone, address: '10.244.0.2' }, false],
	['ends those of a service that is gone', { ...gone, owner: 'shop/other' }, false],
	['sends datagrams elsewhere at once', { ...gone, proto: 17 }, false],
	['ends what a service left behind that went while no agent ran', { ...gone, owner: undefined }, false],
])('%s', (_what, { owner, ...rest }, kept) => {
	expect(isKept(view, owner === undefined ? rest : { ...rest, owner })).toBe(kept);
});
