import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { MachineFacts } from './automatic.ts';
import { parsePortRanges, resolveAutomatic } from './automatic.ts';
import type { ConfigSources, EffectiveConfig } from './config.ts';
import { formatConfig, loadConfig } from './config.ts';
import { CONFIG_KEYS, CONFIG_NAMES, environmentName, flagName } from './schema.ts';

function load(over: Partial<ConfigSources> & { file?: string } = {}): EffectiveConfig {
	const file = over.file === undefined ? {} : { FAIRLEAD_CONFIG: '/etc/agent.yaml' };
	const loaded = loadConfig({
		args: over.args ?? [],
		environment: { ...file, ...over.environment },
		readFile: over.readFile ?? (() => over.file ?? ''),
		hostName: () => 'Node-A',
	});
	if ('exit' in loaded) throw new Error(loaded.text);
	return loaded;
}

function refusal(over: Parameters<typeof load>[0]): string {
	try {
		load(over);
	} catch (thrown) {
		return (thrown as Error).message;
	}
	return 'accepted';
}

describe('loadConfig', () => {
	it('has a default for every key', () => {
		expect(Object.keys(load().values)).toEqual([...CONFIG_NAMES]);
		expect(load().values).toMatchObject({ routing: 'vxlan', vni: 1, masquerade: true, snatPorts: 'auto' });
	});

	it('prefers flag over environment over file over default, and remembers which it was', () => {
		const all = { args: ['--vni', '4'], environment: { FAIRLEAD_VNI: '3' }, file: 'vni: 2' };
		const steps = [{}, { file: all.file }, { file: all.file, environment: all.environment }, all].map((each) => {
			const { values, origins } = load(each);
			return [values.vni, origins.vni.source];
		});
		expect(steps).toEqual([
			[1, 'default'],
			[2, 'file /etc/agent.yaml'],
			[3, 'environment FAIRLEAD_VNI'],
			[4, 'flag --vni'],
		]);
	});

	it('reads every key from each source', () => {
		for (const name of CONFIG_NAMES) {
			const { fallback, form } = CONFIG_KEYS[name];
			const value = name === 'nodeName' ? 'n1' : fallback;
			const text =
				form === 'list' ? (value as string[]).join(',') : form === 'text' ? String(value) : JSON.stringify(value);
			expect(load({ args: [flagName(name), text] }).origins[name].source).toBe(`flag ${flagName(name)}`);
			const variable = environmentName(name);
			expect(load({ environment: { [variable]: text } }).origins[name].source).toBe(`environment ${variable}`);
			expect(load({ file: JSON.stringify({ [name]: value }) }).origins[name].source).toBe('file /etc/agent.yaml');
		}
	});

	it('reads lists, booleans and structures from text', () => {
		const { values } = load({
			args: ['--service-cidrs', '10.96.0.0/12, fd00::1/108', '--masquerade', 'false'],
			environment: { FAIRLEAD_SNAT_PORTS: '{min: 20000, max: 29000}', FAIRLEAD_MAPS: '{services: 1000}' },
		});
		expect(values).toMatchObject({
			serviceCidrs: ['10.96.0.0/12', 'fd00::/108'],
			masquerade: false,
			snatPorts: { min: 20000, max: 29000 },
			maps: { services: 1000 },
		});
	});

	it('names source, key, expected and found of everything that is wrong, all at once', () => {
		const message = refusal({
			args: ['--vni', 'x'],
			environment: { FAIRLEAD_MTU: '20', FAIRLEAD_VNIX: '1' },
			file: 'routing: bgp\nserviceCidr: []\nsnatPorts: {min: 20000}\nclusterCidrs: [10.0.0.0/99]',
		});
		expect(message.split('\n').slice(1)).toEqual([
			'  environment: FAIRLEAD_VNIX: unknown key; did you mean FAIRLEAD_VNI?',
			'  file /etc/agent.yaml: serviceCidr: unknown key; did you mean serviceCidrs?',
			'  file /etc/agent.yaml: routing: expected "vxlan" or "direct" or "auto", got "bgp"',
			'  flag --vni: vni: expected a number, got "x"',
			'  environment FAIRLEAD_MTU: mtu: expected at least 1280, got 20',
			'  file /etc/agent.yaml: clusterCidrs[0]: expected a prefix ADDRESS/LENGTH, got "10.0.0.0/99"',
			'  file /etc/agent.yaml: snatPorts.max: expected a number, got nothing',
		]);
	});

	it('says what each form of a value would be', () => {
		const problems = (file: string) => refusal({ file }).split('\n').slice(1);
		expect(problems('snatPorts: 5\nmtu: big\nnodePortAddresses: [all]\nmaps: []\nmasquerade: 1')).toEqual([
			'  file /etc/agent.yaml: mtu: expected "auto" or a number, got "big"',
			'  file /etc/agent.yaml: masquerade: expected true or false, got 1',
			'  file /etc/agent.yaml: nodePortAddresses[0]: expected "primary" or a prefix ADDRESS/LENGTH, got "all"',
			'  file /etc/agent.yaml: snatPorts: expected "auto" or an object, got 5',
			'  file /etc/agent.yaml: maps: expected an object, got a list of 0',
		]);
	});

	it.each([
		['healthzBindAddress', '127.0.0.1:65536'],
		['metricsBindAddress', '[::]:0'],
	])('refuses %s %s', (key, address) => {
		expect(refusal({ file: `${key}: '${address}'` })).toContain(`${key}: expected ADDRESS:PORT, [ADDRESS]:PORT or off`);
	});

	it('takes names of further uplinks, or auto alone', () => {
		expect(load().values.moreUplinks).toEqual(['auto']);
		expect(load({ args: ['--more-uplinks', ''] }).values.moreUplinks).toEqual([]);
		expect(load({ args: ['--more-uplinks', 'eth1, bond0.7'] }).values.moreUplinks).toEqual(['eth1', 'bond0.7']);
		expect(refusal({ file: 'moreUplinks: [auto, eth1]' })).toContain(
			'moreUplinks[0]: expected auto alone or names of interfaces',
		);
		expect(refusal({ file: 'moreUplinks: [eth1, far-too-long-name]' })).toContain('moreUplinks[1]: expected');
	});

	it('takes one pod CIDR of each family: the programs know no more', () => {
		expect(load({ file: 'podCidrs: [10.244.1.0/24, fd00:244:1::/64]' }).values.podCidrs).toHaveLength(2);
		expect(refusal({ file: 'podCidrs: [10.244.1.0/24, fd00::/64, 10.244.2.0/24]' })).toContain(
			'podCidrs: expected at most one prefix of each family',
		);
	});

	it('refuses unknown flags, stray arguments and unreadable files', () => {
		expect(refusal({ args: ['--colour', 'red'] })).toContain("unknown option '--colour'");
		expect(refusal({ args: ['start'] })).toContain('unexpected argument "start"');
		expect(refusal({ file: 'vni: 1\na: [' })).toMatch(
			/^cannot read configuration file \/etc\/agent\.yaml: Flow sequence .* at line 2, column 5$/,
		);
		expect(refusal({ file: 'vni: 1\nvni: 2' })).toMatch(/: Map keys must be unique at line 2, column 1$/);
		expect(refusal({ file: 'vni: 1\n---\nvni: 2' })).toMatch(/: it holds more than one document$/);
		expect(refusal({ file: '- a' })).toContain('expected keys and values, got a list of 1');
		const enoent = Object.assign(new Error('no such file'), { code: 'ENOENT' });
		const readFile = () => {
			throw enoent;
		};
		expect(refusal({ file: '', readFile })).toBe('cannot read configuration file /etc/agent.yaml: ENOENT');
	});

	it('ignores what Kubernetes injects for a Service named fairlead', () => {
		const environment = {
			FAIRLEAD_SERVICE_HOST: '10.96.0.1',
			FAIRLEAD_SERVICE_PORT_HTTP: '80',
			FAIRLEAD_PORT: 'tcp://10.96.0.1:80',
			FAIRLEAD_PORT_80_TCP_ADDR: '10.96.0.1',
		};
		expect(load({ environment }).values.vni).toBe(1);
	});

	it('takes the host name, in the form of a Node object, when no node name is given', () => {
		const { values, origins } = load();
		expect(values.nodeName).toBe('node-a');
		expect(origins.nodeName).toEqual({ source: 'automatic', reason: 'the host name' });
	});

	it('answers --help and --version with text', () => {
		const sources = { environment: {}, version: '1.2.3' };
		expect(loadConfig({ ...sources, args: ['--version'] })).toEqual({ exit: 'version', text: '1.2.3\n' });
		const help = loadConfig({ ...sources, args: ['--help'] });
		for (const name of CONFIG_NAMES) expect('exit' in help && help.text).toContain(flagName(name));
	});

	it('reads --config before the variable that names the file', () => {
		const readFile = (path: string) => `vni: ${path === '/flag' ? 7 : 8}`;
		expect(load({ args: ['--config', '/flag'], environment: { FAIRLEAD_CONFIG: '/env' }, readFile }).values.vni).toBe(
			7,
		);
	});
});

describe('formatConfig', () => {
	it('prints a configuration file that means the same, with the origin of every value', () => {
		const config = load({ args: ['--vni', '9', '--maps', '{ipcache: 100}'] });
		const text = formatConfig(config);
		expect(parse(text)).toEqual(config.values);
		expect(text).toMatch(/^vni: 9 +# flag --vni$/m);
		expect(text).toMatch(/^nodeName: "node-a" +# automatic: the host name$/m);
		expect(load({ file: text }).values).toEqual(config.values);
	});
});

describe('resolveAutomatic', () => {
	const machine: MachineFacts = {
		uplink: { name: 'eth0', mtu: 1500 },
		uplinkReason: 'it has the default route',
		uplinks: [{ name: 'eth0', ifindex: 2, mtu: 1500, addresses: [], gso: { ipv4: 65_536, largest: 524_280 } }],
		moreUplinks: ['eth1'],
		moreUplinksReason: 'eth1: it has the IPv6 default route',
		addresses: ['192.168.0.1'],
		podCidrs: ['10.244.1.0/24'],
		localPorts: { min: 32768, max: 60999 },
		reservedPorts: [],
		cgroup2: '/sys/fs/cgroup',
	};

	it('gives every automatic value a reason', () => {
		const { values, origins } = resolveAutomatic(load(), machine);
		expect(values).toMatchObject({
			uplink: 'eth0',
			moreUplinks: ['eth1'],
			mtu: 1450,
			bigTcp: false,
			podCidrs: ['10.244.1.0/24'],
			snatPorts: { min: 11000, max: 29999 },
			cgroupRoot: '/sys/fs/cgroup',
		});
		expect(origins.uplink).toEqual({ source: 'automatic', reason: 'it has the default route' });
		expect(origins.moreUplinks).toEqual({ source: 'automatic', reason: 'eth1: it has the IPv6 default route' });
		expect(origins.mtu.reason).toBe('1500 of eth0 less 50 for VXLAN over IPv4');
		expect(origins.bigTcp.reason).toBe('routing vxlan: tunnels take 65536 bytes at a time');
		expect(origins.snatPorts.reason).toContain('ip_local_port_range 32768-60999');
	});

	it('leaves configured values alone', () => {
		const config = load({ args: ['--mtu', '1400', '--uplink', 'eth7', '--snat-ports', '{min: 61000, max: 65000}'] });
		expect(resolveAutomatic(config, machine).values).toMatchObject({
			mtu: 1400,
			uplink: 'eth7',
			snatPorts: { min: 61000 },
		});
	});

	it('says which of the configured further uplinks there are', () => {
		const config = load({ args: ['--more-uplinks', 'eth1,eth9'] });
		const moreUplinksReason = 'eth1: configured; not eth9: there is no such interface';
		const { values, origins } = resolveAutomatic(config, { ...machine, moreUplinksReason });
		expect(values.moreUplinks).toEqual(['eth1']);
		expect(origins.moreUplinks).toEqual({ source: 'flag --more-uplinks', reason: moreUplinksReason });
		expect(resolveAutomatic(load({ file: 'moreUplinks: []' }), machine).values.moreUplinks).toEqual([]);
	});

	it('needs no room for encapsulation with direct routing, and more for IPv6', () => {
		expect(resolveAutomatic(load({ args: ['--routing', 'direct'] }), machine).values.mtu).toBe(1500);
		expect(resolveAutomatic(load(), { ...machine, addresses: ['fd00::1'] }).values.mtu).toBe(1430);
	});

	it('keeps masquerade ports apart from local, node and reserved ports', () => {
		const reserved = { ...machine, reservedPorts: parsePortRanges('15000-29999,12000\n') };
		const range = resolveAutomatic(load(), reserved).values.snatPorts;
		expect(range).toEqual({ min: 61000, max: 65535 });
	});

	it('says so when there is no room for masquerade ports or a configured range overlaps', () => {
		const full = { ...machine, localPorts: { min: 1024, max: 65535 } };
		expect(() => resolveAutomatic(load(), full)).toThrow('cannot choose snatPorts');
		const config = load({ args: ['--snat-ports', '{min: 30000, max: 40000}'] });
		expect(() => resolveAutomatic(config, machine)).toThrow('overlaps ip_local_port_range 32768-60999');
	});

	it.each([
		['10.244.1.0/25', 'pod CIDR 10.244.1.0/24'],
		['0.0.0.0/0', 'pod CIDR 10.244.1.0/24'],
		['192.168.0.0/16', 'node address 192.168.0.1'],
	])('refuses service CIDR %s, whose route would take away other traffic', (cidr, what) => {
		const config = load({ args: ['--service-cidrs', `10.96.0.0/12,${cidr}`] });
		expect(() => resolveAutomatic(config, machine)).toThrow(`serviceCidrs ${cidr} overlaps ${what}`);
	});

	it('needs cgroup v2 only for socket load balancing', () => {
		const none = { ...machine, cgroup2: undefined };
		expect(() => resolveAutomatic(load(), none)).toThrow('cgroup v2 is not mounted');
		expect(resolveAutomatic(load({ args: ['--socket-lb', 'false'] }), none).origins.cgroupRoot.reason).toContain(
			'not used',
		);
	});
});
