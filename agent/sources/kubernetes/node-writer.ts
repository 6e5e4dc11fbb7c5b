/**
 * What the agent writes to its own Node: the condition that the network is there, and the end of the start-up taint. Both are
 * patches that change nothing else and that the server refuses when somebody else has changed the same place meanwhile.
 */
import { failureOf } from './api-client.ts';
import { formatTime, type WriteApi } from './event-writer.ts';

/** Of core/v1; true keeps pods away from the node, and cloud providers start with that. */
const CONDITION = 'NetworkUnavailable';
export const UP = { reason: 'FairleadIsUp', message: 'Fairlead is running on this node' } as const;

/** Somebody writes to the same Node all the time: another try with what is there now. */
const ATTEMPTS = 5;

interface Condition {
	readonly type: string;
	readonly status: string;
	readonly reason?: string;
	readonly message?: string;
	readonly lastTransitionTime?: string;
}

interface Taint {
	readonly key: string;
	readonly effect: string;
}

interface NodeObject {
	readonly spec?: { readonly taints?: readonly Taint[] };
	readonly status?: { readonly conditions?: readonly Condition[] };
}

export class NodeWriter {
	readonly #api: WriteApi;
	readonly #path: string;

	constructor(api: WriteApi, nodeName: string) {
		this.#api = api;
		this.#path = `/api/v1/nodes/${nodeName}`;
	}

	/**
	 * Sets NetworkUnavailable to False. The time of its last transition stays as it is if it was False before.
	 * @returns whether anything had to be changed
	 * @throws FairleadError API_UNREACHABLE, API_REFUSED
	 */
	async setNetworkAvailable(nowMs: number, signal: AbortSignal): Promise<boolean> {
		const { status } = await this.#read(signal);
		const old = status?.conditions?.find(({ type }) => type === CONDITION);
		const same = old?.status === 'False';
		if (same && old.reason === UP.reason && old.message === UP.message) return false;
		const now = formatTime(nowMs);
		const lastTransitionTime = (same ? old.lastTransitionTime : undefined) ?? now;
		const condition = { type: CONDITION, status: 'False', ...UP, lastTransitionTime, lastHeartbeatTime: now };
		await this.#api.write(
			{
				method: 'PATCH',
				path: `${this.#path}/status`,
				// merges the list by type: the conditions of others are not in the patch
				contentType: 'application/strategic-merge-patch+json',
				body: { status: { conditions: [condition] } },
			},
			signal,
		);
		return true;
	}

	/**
	 * Removes a taint with all its effects. Each is named by its place in the list, and the patch holds only if it is still there:
	 * taints of others are never written.
	 * @returns how many were removed
	 * @throws FairleadError API_UNREACHABLE, API_REFUSED
	 */
	async removeTaint(key: string, signal: AbortSignal): Promise<number> {
		for (let attempt = 1; ; attempt++) {
			const patch = taintPatch((await this.#read(signal)).spec?.taints ?? [], key);
			if (patch.length === 0) return 0;
			try {
				await this.#api.write(
					{ method: 'PATCH', path: this.#path, contentType: 'application/json-patch+json', body: patch },
					signal,
				);
				return patch.length / 2;
			} catch (error) {
				const { status } = failureOf(error);
				if (attempt === ATTEMPTS || (status !== 409 && status !== 422)) throw error;
			}
		}
	}

	async #read(signal: AbortSignal): Promise<NodeObject> {
		return (await this.#api.get(this.#path, {}, signal)) as NodeObject;
	}
}

interface Operation {
	readonly op: 'test' | 'remove';
	readonly path: string;
	readonly value?: Taint;
}

/** A test and a removal for each taint of the key, from the back: places before it stay what they are. */
export function taintPatch(taints: readonly Taint[], key: string): Operation[] {
	const found = taints.map((taint, at) => ({ taint, at })).filter(({ taint }) => taint.key === key);
	return found.reverse().flatMap(({ taint, at }): Operation[] => {
		const path = `/spec/taints/${at}`;
		return [
			{ op: 'test', path, value: taint },
			{ op: 'remove', path },
		];
	});
}
