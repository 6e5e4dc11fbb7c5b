/**
 * The network configuration on standard input, as runtimes hand it over. Unknown keys are ignored, as the
 * specification wants; keys whose promise we could not keep are refused by name.
 */
import * as z from 'zod';
import { type Address, parseAddress } from '../agent/model/address.ts';
import { CNI_VERSIONS } from './versions.ts';

const PORT = 'must be a port, 1 to 65535';
const port = z.number(PORT).int(PORT).min(1, PORT).max(65535, PORT);

const addressText = z.string().transform((text, context): Address => {
	const address = parseAddress(text);
	if (address !== undefined) return address;
	context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no IP address` });
	return z.NEVER;
});

/** 'ADDRESS/LENGTH' → the address. */
const interfaceAddress = z.string().transform((text, context): Address => {
	const address = parseAddress(text.split('/')[0] ?? '');
	if (address !== undefined) return address;
	context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no address with prefix length` });
	return z.NEVER;
});

const PROTOCOLS = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' } as const;
const protocol = z
	.string()
	.transform((text) => text.toLowerCase())
	.pipe(z.enum(['tcp', 'udp', 'sctp'], 'must be tcp, udp or sctp'))
	.transform((name) => PROTOCOLS[name]);

const portMapping = z.object({
	hostPort: z.number(PORT).int(PORT).min(0, PORT).max(65535, PORT),
	containerPort: port,
	protocol: protocol.default('TCP'),
	hostIP: z.union([z.literal(''), addressText]).optional(),
});

/** A result of this or an earlier plugin; the rest of it is kept as it came. */
export const prevResultSchema = z.looseObject({
	interfaces: z.array(z.looseObject({ name: z.string(), sandbox: z.string().optional() })).default([]),
	ips: z.array(z.looseObject({ address: interfaceAddress, interface: z.number().int().optional() })).default([]),
});

const attachment = z.object({ containerID: z.string().min(1), ifname: z.string().min(1) });

/** Keys of runtimeConfig that ask for something we do not do. Others inform and may be ignored. */
export const UNSUPPORTED_RUNTIME_CONFIG = [
	'bandwidth',
	'ipRanges',
	'ips',
	'mac',
	'infinibandGUID',
	'deviceID',
] as const;

export const configSchema = z.object({
	cniVersion: z.enum(CNI_VERSIONS, `must be one of ${CNI_VERSIONS.join(', ')}`),
	name: z
		.string()
		.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, "must be letters, digits, '_', '.' and '-', the first a letter or digit"),
	type: z.string().min(1, 'must not be empty'),
	prevResult: prevResultSchema.nullish(),
	runtimeConfig: z.looseObject({ portMappings: z.array(portMapping).nullish() }).nullish(),
	dns: z.record(z.string(), z.unknown()).nullish(),
	ipam: z.looseObject({ type: z.string().nullish() }).nullish(),
	'cni.dev/valid-attachments': z.array(attachment).nullish(),
	'cni.dev/attachments': z.array(attachment).nullish(),
});

export type NetworkConfig = z.output<typeof configSchema>;
export type PrevResult = z.output<typeof prevResultSchema>;
