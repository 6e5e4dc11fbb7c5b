/**
 * The one schema of the agent's configuration. A key exists here or nowhere: file, environment and flags are derived.
 */
import * as z from 'zod';
import { cidr, isOnePerFamily, ONE_PER_FAMILY } from '../model/fields.ts';
import { parseResolver } from '../model/resolver.ts';

const port = z.int().min(1).max(65535);
const path = z.string().regex(/^\//, 'expected an absolute path');
const milliseconds = z.int().min(0).max(86_400_000);
const entries = z.int().min(16).max(16_777_216);

const LISTEN_FORM = 'expected ADDRESS:PORT, [ADDRESS]:PORT or off';

/** 'ADDRESS:PORT', '[V6]:PORT' or 'off'. */
const listenAddress = z
	.string()
	.regex(/^(off|(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):\d{1,5})$/, LISTEN_FORM)
	.refine(
		(text) => text === 'off' || port.safeParse(Number(text.slice(text.lastIndexOf(':') + 1))).success,
		LISTEN_FORM,
	);

const portRange = z
	.strictObject({ min: z.int().min(1024).max(65535), max: z.int().min(1024).max(65535) })
	.refine((range) => range.max - range.min >= 255, 'expected at least 256 ports between min and max');

const AUTO_OR_NAMES = 'expected auto alone or names of interfaces';
const interfaceName = z
	.string()
	.regex(/^[^\s/:]{1,15}$/, AUTO_OR_NAMES)
	.refine((name) => name !== 'auto', AUTO_OR_NAMES);

const isResolver = (text: string): boolean => parseResolver(text) !== undefined;

/** Entries per map; what is missing keeps the compiled size. `events` is in bytes, a power of two. */
const mapSizes = z.strictObject({
	services: entries.optional(),
	slots: entries.optional(),
	backends: entries.optional(),
	conns: entries.optional(),
	sources: entries.optional(),
	affinity: entries.optional(),
	sock_rev: entries.optional(),
	frags: entries.optional(),
	ipcache: entries.optional(),
	cidrs: entries.optional(),
	policy: entries.optional(),
	ranges: entries.optional(),
	events: z
		.int()
		.min(65_536)
		.max(268_435_456)
		.refine((n) => (n & (n - 1)) === 0, 'expected a power of two')
		.optional(),
});

/** Seconds a flow may be idle, by state; what is missing keeps its default. At most ten days: jiffies are compared in 32 bits. */
const seconds = z.int().min(1).max(864_000);
const ctTimeouts = z.strictObject({
	tcpEstablished: seconds.optional(),
	tcpClosing: seconds.optional(),
	tcpHalfClosed: seconds.optional(),
	tcpOpening: seconds.optional(),
	udpReplied: seconds.optional(),
	udpUnreplied: seconds.optional(),
	sctpEstablished: seconds.optional(),
	sctpOpening: seconds.optional(),
	icmp: seconds.optional(),
	other: seconds.optional(),
});

export interface ConfigKey<S extends z.ZodType = z.ZodType> {
	readonly schema: S;
	/** undefined = must be given. */
	readonly fallback: z.input<S>;
	readonly help: string;
	/** `list`: text of environment and flags is split at commas; `text`: taken as it is; `value`: read as YAML. */
	readonly form: 'text' | 'list' | 'value';
}

function key<S extends z.ZodType>(
	form: ConfigKey['form'],
	schema: S,
	fallback: z.input<S>,
	help: string,
): ConfigKey<S> {
	return { schema, fallback, help, form };
}

/** Every key with its default. Order is that of printed configuration. */
export const CONFIG_KEYS = {
	nodeName: key('text', z.string().max(253), '', "name of this node's Node object; empty = the host name"),
	source: key('text', z.enum(['files', 'kubernetes']), 'files', 'where desired state comes from'),
	standalone: key(
		'value',
		z.boolean(),
		false,
		'a plain load balancer: Services and EndpointSlices of source files, no cluster, no pods, no CNI plugin',
	),
	filesDir: key('text', path, '/etc/fairlead/objects', 'directory of Kubernetes YAML for source files'),
	kubeconfig: key(
		'text',
		z.union([z.literal(''), path]),
		'',
		"kubeconfig for source kubernetes; empty = the pod's service account",
	),
	k8sApiServer: key(
		'list',
		z.array(z.string().regex(/^https:\/\/[^/\s]+$/, 'expected https://ADDRESS:PORT')),
		[],
		'API servers to ask instead of the one of kubeconfig or service account, in order of preference',
	),
	allPods: key(
		'value',
		z.boolean(),
		false,
		'source kubernetes knows the pods of other nodes too when no policy needs them',
	),
	startupTaint: key(
		'text',
		z.string().regex(/^([a-z0-9.-]{1,253}\/)?[\w.-]{0,63}$/, 'expected the key of a taint, or nothing'),
		'node.fairlead.dev/agent-not-ready',
		'taint of the own Node that is removed once pods can be attached; empty = none',
	),
	podWaitMs: key(
		'value',
		milliseconds,
		5000,
		'source kubernetes: how long CNI ADD waits for the Pod in the watch before it asks the API server for it',
	),
	unknownPods: key(
		'text',
		z.enum(['retry', 'isolate']),
		'retry',
		'source kubernetes, pods that the API server does not know: CNI ADD says "try again later", or attaches them so that only the node reaches them',
	),
	policyAuditMode: key('value', z.boolean(), false, 'no policy drops anything: what they all would drop is reported'),
	dnsResolvers: key(
		'list',
		z.array(z.string().refine(isResolver, 'expected NAMESPACE/SERVICE, ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT')),
		['kube-system/kube-dns'],
		'name servers whose answers count for domainNames of policies',
	),
	dnsGraceSeconds: key(
		'value',
		z.int().min(0).max(86_400),
		60,
		'how long addresses of domainNames outlive their DNS records, in seconds',
	),
	dnsAddressesPerName: key('value', z.int().min(100).max(10_000), 1000, 'addresses of one name that policies let out'),
	policyMetrics: key(
		'text',
		z.enum(['policy', 'rule', 'off']),
		'policy',
		'what metrics count packets of policies by; series grow with it',
	),
	routing: key('text', z.enum(['vxlan', 'direct', 'auto']), 'vxlan', "how nodes reach each other's pods"),
	vni: key('value', z.int().min(1).max(16_777_215), 1, 'VXLAN network identifier'),
	vxlanPort: key('value', port, 8472, 'UDP port of VXLAN'),
	uplink: key('text', z.string().min(1).max(15), 'auto', 'interface that leads to other nodes'),
	moreUplinks: key(
		'list',
		z.union([z.tuple([z.literal('auto')]), z.array(interfaceName)]),
		['auto'],
		'further interfaces by which clients of services come and packets of pods leave: auto = with a default route, an address of the Node object or one that nodePortAddresses selects',
	),
	mtu: key(
		'value',
		z.union([z.literal('auto'), z.int().min(1280).max(65535)]),
		'auto',
		'largest IP packet of pods, in bytes',
	),
	bigTcp: key(
		'value',
		z.union([z.literal('auto'), z.boolean()]),
		'auto',
		'pods send up to 192 KiB of TCP over IPv4 in one piece (kernel 6.3): auto = with routing direct, if the uplinks can',
	),
	podCidrs: key(
		'list',
		z.array(cidr).refine(isOnePerFamily, ONE_PER_FAMILY),
		[],
		'pod prefixes of this node; empty = from its Node object',
	),
	clusterCidrs: key('list', z.array(cidr), [], 'prefixes of all pods of the cluster'),
	serviceCidrs: key('list', z.array(cidr), [], 'prefixes that ClusterIPs come from'),
	nonMasqueradeCidrs: key('list', z.array(cidr), [], 'destinations outside that see pod addresses'),
	xdp: key(
		'text',
		z.enum(['auto', 'native', 'generic', 'off']),
		'auto',
		'XDP on the uplink: auto = native where the driver has it',
	),
	northSouth: key(
		'text',
		z.enum(['snat', 'dsr']),
		'snat',
		"outside clients whose backend is on another node: the node's address as source, or direct server return",
	),
	dsr: key(
		'text',
		z.enum(['ipip', 'vxlan', 'l2']),
		'ipip',
		'envelope of direct server return: IP in IP, or the VXLAN of routing vxlan; standalone: IP in IP that servers open, or l2 = none, servers on the link',
	),
	nodePortDsr: key(
		'value',
		z.boolean(),
		true,
		"northSouth dsr: NodePorts are answered by the backend's node too, if nodePortAddresses is primary; else the node's address as source",
	),
	masquerade: key('value', z.boolean(), true, "pods reach the outside with the node's address"),
	socketLb: key(
		'value',
		z.boolean(),
		true,
		"translate services at connect() of every process of the node; false: the node's own processes reach ClusterIPs of known service CIDRs alone, no NodePort of their node, external IP or load balancer address",
	),
	nodePortAddresses: key(
		'list',
		z.union([z.tuple([z.literal('primary')]), z.array(cidr)]),
		['primary'],
		'where NodePorts are open: primary, or prefixes of local addresses',
	),
	externalIps: key('value', z.boolean(), true, 'serve spec.externalIPs of services'),
	serviceProxyName: key(
		'text',
		z.string().max(63),
		'',
		'serve only services labelled service.kubernetes.io/service-proxy-name with this; empty = those without the label',
	),
	lbAlgorithm: key(
		'text',
		z.enum(['random', 'maglev', 'least-conn']),
		'random',
		'how backends are chosen where no annotation fairlead.dev/lb-algorithm says it',
	),
	lbTransitionMs: key(
		'value',
		milliseconds,
		30_000,
		'time for which new backends of a Maglev table wait after a change of it, where flows are not tracked',
	),
	snatPorts: key(
		'value',
		z.union([z.literal('auto'), portRange]),
		'auto',
		'source ports of masqueraded connections, {min, max}',
	),
	bpffsDir: key('text', path, '/sys/fs/bpf/fairlead', 'directory in bpffs for pinned maps and links'),
	runDir: key('text', path, '/run/fairlead', 'directory of sockets'),
	stateDir: key('text', path, '/var/lib/fairlead', 'directory of attachments and address state'),
	cgroupRoot: key(
		'text',
		z.union([z.literal('auto'), path]),
		'auto',
		'cgroup v2 whose processes use socket load balancing',
	),
	cniBinDir: key('text', path, '/opt/cni/bin', 'where the CNI executable is installed'),
	cniConfDir: key('text', path, '/etc/cni/net.d', 'where the CNI configuration is written'),
	cniConfName: key(
		'text',
		z.string().regex(/^[\w.-]+\.conflist$/, 'expected NAME.conflist'),
		'05-fairlead.conflist',
		'file name of the CNI configuration',
	),
	cniVersion: key(
		'text',
		z.enum(['auto', '0.3.1', '0.4.0', '1.0.0', '1.1.0']),
		'auto',
		'version of the CNI configuration; auto = 1.1.0 for runtimes that know it, else 1.0.0',
	),
	logLevel: key(
		'text',
		z.enum(['error', 'warn', 'info', 'debug', 'trace']),
		'info',
		'least severe log record that is written',
	),
	healthzBindAddress: key('text', listenAddress, '[::]:10256', 'where /healthz, /livez and /readyz are served, or off'),
	metricsBindAddress: key(
		'text',
		listenAddress,
		'127.0.0.1:10249',
		'where /metrics, /proxyMode and /configz are served, or off',
	),
	flowBuffer: key('value', z.int().min(64).max(1_048_576), 16384, 'flows kept for observe'),
	ctMaxEntries: key('value', entries, 262_144, 'connections tracked at once'),
	ctTimeouts: key('value', ctTimeouts, {}, 'seconds a connection may be idle, by protocol and state'),
	maps: key('value', mapSizes, {}, 'entries of other BPF maps'),
	podCoolDownMs: key('value', milliseconds, 30_000, 'time before a pod address is used again'),
	expediteAttach: key(
		'value',
		z.boolean(),
		true,
		"expedite the kernel's RCU grace periods in the moments in which a pod's programs are attached",
	),
	addTimeoutMs: key('value', milliseconds, 30_000, 'longest CNI ADD'),
	delTimeoutMs: key('value', milliseconds, 10_000, 'longest CNI DEL'),
} as const satisfies Record<string, ConfigKey>;

export type ConfigName = keyof typeof CONFIG_KEYS;

/** Validated configuration; `auto` values are resolved by whoever knows the machine. */
export type Config = { readonly [K in ConfigName]: z.output<(typeof CONFIG_KEYS)[K]['schema']> };

/** All names in order. */
export const CONFIG_NAMES = Object.keys(CONFIG_KEYS) as readonly ConfigName[];

/** podCidrs → FAIRLEAD_POD_CIDRS */
export function environmentName(name: ConfigName): string {
	return `FAIRLEAD_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;
}

/** podCidrs → --pod-cidrs */
export function flagName(name: ConfigName): string {
	return `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}
