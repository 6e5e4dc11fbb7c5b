/**
 * One pod of the test cluster: a network namespace that the CNI plugin connected, and the programs that run in it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CniRequest, CniResult } from './cni.ts';
import { type BackgroundProcess, eventually } from './exec.ts';
import type { ClusterNode } from './node.ts';
import type { Family, KubeObject } from './objects.ts';
import { Place } from './place.ts';

const PROGRAMS = join(import.meta.dirname, '..', 'programs');
const NODE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.bin', 'node');

const nginxConf = (dir: string, port: number, text: string): string => `
worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/nginx.error.log; daemon off;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fastcgi;
	uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
	server {
		listen ${port} reuseport; listen [::]:${port} ipv6only=on reuseport;
		location / { default_type text/plain; return 200 "${text} $remote_addr\\n"; }
	}
}
`;

export class Pod extends Place {
	readonly node: ClusterNode;
	readonly namespace: string;
	readonly cniRequest: CniRequest;
	#result: CniResult | undefined;

	constructor(o: {
		name: string;
		namespace: string;
		netns: string;
		cgroup: string;
		node: ClusterNode;
		request: CniRequest;
	}) {
		super({ name: o.name, netns: o.netns, cgroup: o.cgroup, dir: join(o.node.root, 'pods', o.name) });
		this.node = o.node;
		this.namespace = o.namespace;
		this.cniRequest = o.request;
	}

	/** CNI ADD. */
	async attach(): Promise<CniResult> {
		this.#result = await this.node.cni.add(this.cniRequest);
		return this.#result;
	}

	/** CNI DEL. */
	detach(): Promise<void> {
		return this.node.cni.del(this.cniRequest);
	}

	get result(): CniResult {
		if (!this.#result) throw new Error(`pod ${this.name} is not attached`);
		return this.#result;
	}

	/** Its address of a family; throws when it has none. */
	address(family: Family): string {
		const address = this.addresses[family];
		if (!address) throw new Error(`pod ${this.name} has no ${family} address`);
		return address;
	}

	get addresses(): Partial<Record<Family, string>> {
		const found: Partial<Record<Family, string>> = {};
		for (const ip of this.#result?.ips ?? []) {
			const address = ip.address.split('/')[0] ?? '';
			found[address.includes(':') ? 'IPv6' : 'IPv4'] ??= address;
		}
		return found;
	}

	/** Its Pod object as the kubelet reports it when it runs. */
	object(labels: Record<string, string>, ports: readonly object[]): KubeObject {
		const ips = Object.values(this.addresses);
		const { name, namespace, node } = this;
		return {
			apiVersion: 'v1',
			kind: 'Pod',
			metadata: { name, namespace, uid: this.cniRequest.args?.K8S_POD_UID ?? '', labels },
			spec: { nodeName: node.name, containers: [{ name: 'main', image: 'local', ports }] },
			status: { phase: 'Running', hostIP: node.addresses.v4, podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) },
		};
	}

	/** Starts the echo server (TCP and UDP), which answers with the pod's name; returns when it listens. */
	async startEcho(port = 7000, name = this.name): Promise<BackgroundProcess> {
		const server = this.start(`echo-${port}`, [NODE, join(PROGRAMS, 'echo-server.ts'), name, String(port)]);
		await this.#listening('echo server', port, server);
		return server;
	}

	/** Starts nginx, whose page is the pod's name and the client's address; returns when it listens. */
	async startNginx(port = 80): Promise<BackgroundProcess> {
		const dir = join(this.dir, `nginx-${port}`);
		mkdirSync(dir, { recursive: true });
		writeFileSync(join(dir, 'nginx.conf'), nginxConf(dir, port, this.name));
		const command = ['nginx', '-p', dir, '-c', join(dir, 'nginx.conf'), '-e', join(dir, 'nginx.error.log')];
		const server = this.start(`nginx-${port}`, command);
		await this.#listening('nginx', port, server);
		return server;
	}

	/** Starts an iperf3 server; returns when it listens. */
	async startIperf(port = 5201): Promise<BackgroundProcess> {
		const server = this.start(`iperf3-${port}`, ['iperf3', '-s', '-p', String(port)]);
		await this.#listening('iperf3', port, server);
		return server;
	}

	async #listening(what: string, port: number, server: BackgroundProcess): Promise<void> {
		await eventually(`${what} in pod ${this.name} listens on port ${port}`, async () => {
			if (!server.running()) throw new Error(`${what} ended with code ${await server.exited}; see ${server.logFile}`);
			const { stdout } = await this.run(['ss', '-Hltn', `sport = :${port}`]);
			if (!stdout.includes(`:${port} `)) throw new Error('not yet');
		});
	}
}
