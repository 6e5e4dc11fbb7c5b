/**
 * Attachments of programs. Each is pinned under a name of its own, so that it outlives the agent and the next one
 * swaps the program inside it without a gap. On kernels without tcx (< 6.6) a clsact filter takes its place; it has
 * no pin, so an empty directory of the same name remembers it.
 */
import { mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
	BpfLink,
	type BpfProgram,
	type CgroupAttachType,
	clsact,
	NativeError,
	tcxPrograms,
	type Where,
	xdpMode,
} from '../../native/index.ts';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';

export interface TcTarget {
	readonly kind: 'tc';
	readonly ifindex: number;
	readonly where: Where;
}

/** An attachment to make. */
export interface TcHook {
	/** Pin name. */
	readonly name: string;
	/** Asked again when the kernel has attached it: another one may have taken its place everywhere. */
	readonly program: () => BpfProgram;
	readonly target: TcTarget;
}

/** A hook with the program that it gets. */
interface Fresh extends TcTarget {
	readonly name: string;
	readonly program: BpfProgram;
	readonly newest: () => BpfProgram;
}

export interface XdpTarget {
	readonly kind: 'xdp';
	readonly ifindex: number;
	/** `native`: in the driver. `generic`: by the stack, on any device. */
	readonly mode: 'native' | 'generic';
}

export type LinkTarget =
	| TcTarget
	| XdpTarget
	| { readonly kind: 'cgroup'; readonly path: string; readonly type: CgroupAttachType };

/** What became of an attachment. */
export type LinkChange = 'attached' | 'replaced';

/** Same slot for every filter of ours: the next agent replaces it. */
export const CLSACT_SLOT = { priority: 1, handle: 0xf1 } as const;
const MARKER = /^(.+)__clsact_(\d+)_(ingress|egress)$/;
/** A pin on bpffs must have no dots; 255 is the limit of a file name. */
const PIN_NAME = /^[A-Za-z0-9_-]{1,200}$/;

export class Links {
	readonly #directory: string;
	readonly #useTcx: boolean;
	/** Entries of the directory by name of attachment: a pod's must not cost a look at those of all others. */
	readonly #pins = new Map<string, Set<string>>();

	/**
	 * @param directory  on bpffs; made with mode 0700 when missing
	 * @param useTcx     false = clsact filters
	 */
	constructor(directory: string, useTcx: boolean) {
		this.#directory = directory;
		this.#useTcx = useTcx;
		mkdirSync(directory, { recursive: true, mode: 0o700 });
		for (const entry of this.#entries()) this.#remember(entry);
	}

	/**
	 * Makes `program` run at `target`: swaps the program inside the pinned attachment, or attaches and pins.
	 * @param name  pin name, unique per attachment
	 * @throws FairleadError ATTACH_FAILED
	 */
	attach(name: string, program: BpfProgram, target: LinkTarget): LinkChange {
		const clsactTarget = target.kind === 'tc' && !this.#useTcx ? target : undefined;
		const pin = clsactTarget === undefined ? name : `${name}__clsact_${clsactTarget.ifindex}_${clsactTarget.where}`;
		try {
			requirePinName(name);
			const change =
				clsactTarget === undefined
					? this.#attachLink(pin, program, target)
					: this.#attachClsact(pin, program, clsactTarget);
			this.#removeOthers(name, pin);
			return change;
		} catch (cause) {
			throw attachFailed(name, program, cause);
		}
	}

	/**
	 * As attach() for each, but the thread does not wait for the kernel, and one other thread does it for all. The caller sees to it
	 * that nothing else is done under the names until it is settled.
	 * @throws FairleadError ATTACH_FAILED; some may be attached then
	 */
	async attachAllTc(hooks: readonly TcHook[]): Promise<void> {
		const fresh: TcHook[] = [];
		for (const hook of hooks) {
			if (!this.#useTcx) this.attach(hook.name, hook.program(), hook.target);
			else if (!this.#isReplaced(hook)) fresh.push(hook);
		}
		await this.#attachFresh(fresh);
	}

	/** @returns false when the attachment has to be made; what is not pinned is not looked for in the kernel */
	#isReplaced({ name, program, target }: TcHook): boolean {
		if (!this.#pins.has(name)) return false;
		const wanted = program();
		try {
			if (!replaceProgram(join(this.#directory, name), wanted, target)) return false;
			this.#removeOthers(name, name);
			return true;
		} catch (cause) {
			throw attachFailed(name, wanted, cause);
		}
	}

	async #attachFresh(hooks: readonly TcHook[]): Promise<void> {
		const wanted: Fresh[] = hooks.map(({ name, program, target }) => ({
			name,
			program: program(),
			newest: program,
			...target,
		}));
		const [first] = wanted;
		if (first === undefined) return;
		const names = wanted.map(({ name }) => name);
		let links: BpfLink[];
		try {
			for (const name of names) requirePinName(name);
			links = await BpfLink.attachTcxAsync(wanted);
		} catch (cause) {
			throw attachFailed(names.join(', '), first.program, cause);
		}
		const failed = wanted.map((hook, i) => this.#tryPin(hook, links[i])).find((failure) => failure !== undefined);
		if (failed !== undefined) throw failed;
	}

	/** @returns what went wrong: the links after it must be pinned or closed all the same */
	#tryPin({ name, program, newest }: Fresh, link: BpfLink | undefined): FairleadError | undefined {
		try {
			if (link === undefined) return undefined;
			this.#pin(name, link, () => newest() !== program && link.update(newest()));
			this.#removeOthers(name, name);
			return undefined;
		} catch (cause) {
			return attachFailed(name, program, cause);
		}
	}

	/** A link that could not be pinned ends. */
	#pin(entry: string, link: BpfLink, before: () => unknown = () => undefined): void {
		try {
			before();
			link.pin(join(this.#directory, entry));
			this.#remember(entry);
		} finally {
			link.close();
		}
	}

	/** The same attachment on a device that is gone, or made in the other way. */
	#removeOthers(name: string, pin: string): void {
		for (const entry of this.#pins.get(name) ?? []) if (entry !== pin) this.#remove(entry);
	}

	/**
	 * Swaps programs inside pinned attachments, one right after the other: all that takes time is done before the first, so that
	 * hardly a packet meets old programs on its way and new ones on its way back.
	 * @returns names of those swapped; attach() is for the others, and reports why: nothing pinned, another device, clsact or what
	 *          an agent that was killed has left of it, an error
	 */
	replaceAll(wanted: ReadonlyMap<string, { readonly program: BpfProgram; readonly target: LinkTarget }>): Set<string> {
		const entries = this.#entries();
		const opened: { name: string; link: BpfLink; program: BpfProgram }[] = [];
		try {
			for (const [name, { program, target }] of wanted) {
				const own = entries.filter((entry) => nameOf(entry) === name);
				if (own.length !== 1 || own[0] !== name || (target.kind === 'tc' && !this.#useTcx)) continue;
				const link = openLink(join(this.#directory, name), target);
				if (link !== undefined) opened.push({ name, link, program });
			}
			return new Set(opened.filter(({ link, program }) => isSwapped(link, program)).map(({ name }) => name));
		} finally {
			for (const { link } of opened) link.close();
		}
	}

	/** Ends an attachment. @returns false when there was none */
	detach(name: string): boolean {
		const pins = [...(this.#pins.get(name) ?? [])];
		for (const pin of pins) this.#remove(pin);
		return pins.length > 0;
	}

	/** Ends all attachments except those named. @returns the names of those that ended */
	retain(names: ReadonlySet<string>): string[] {
		const stale = this.#entries().filter((entry) => !names.has(nameOf(entry)));
		for (const pin of stale) this.#remove(pin);
		return stale;
	}

	/** Asks the kernel whether the program runs at the target, attached in our way. */
	runs(programId: number, { ifindex, where }: TcTarget): boolean {
		try {
			if (this.#useTcx) return tcxPrograms(ifindex, where).includes(programId);
			return clsact.programId(ifindex, where, CLSACT_SLOT) === programId;
		} catch (error) {
			if (errorCode(error) === 'ENODEV') return false;
			throw error;
		}
	}

	/** Names of all attachments. */
	names(): string[] {
		return this.#entries().map(nameOf);
	}

	#entries(): string[] {
		return readdirSync(this.#directory).sort();
	}

	#remember(entry: string): void {
		const name = nameOf(entry);
		this.#pins.set(name, (this.#pins.get(name) ?? new Set()).add(entry));
	}

	#forget(entry: string): void {
		const name = nameOf(entry);
		const entries = this.#pins.get(name);
		entries?.delete(entry);
		if (entries?.size === 0) this.#pins.delete(name);
	}

	#attachLink(pin: string, program: BpfProgram, target: LinkTarget): LinkChange {
		const path = join(this.#directory, pin);
		if (replaceProgram(path, program, target)) return 'replaced';
		this.#pin(pin, attachNew(program, target));
		return 'attached';
	}

	#attachClsact(pin: string, program: BpfProgram, target: TcTarget): LinkChange {
		const known = clsact.programId(target.ifindex, target.where, CLSACT_SLOT) !== undefined;
		mkdirSync(join(this.#directory, pin), { recursive: true, mode: 0o700 });
		this.#remember(pin);
		clsact.attach(program, target.ifindex, target.where, CLSACT_SLOT);
		return known ? 'replaced' : 'attached';
	}

	#remove(entry: string): void {
		const path = join(this.#directory, entry);
		const marker = MARKER.exec(entry);
		this.#forget(entry);
		if (marker === null || !statSync(path).isDirectory()) {
			unlinkIfThere(path);
			return;
		}
		try {
			clsact.detach(Number(marker[2]), marker[3] as Where, CLSACT_SLOT);
		} catch (error) {
			// The device, its qdisc or the filter is gone: that is what was wanted.
			if (!['ENODEV', 'ENOENT', 'EINVAL'].includes(errorCode(error) ?? '')) throw error;
		}
		rmdirSync(path);
	}
}

function unlinkIfThere(path: string): void {
	try {
		unlinkSync(path);
	} catch (error) {
		if (errorCode(error) !== 'ENOENT') throw error;
	}
}

function requirePinName(name: string): void {
	if (!PIN_NAME.test(name)) throw new Error('not a valid name of a pin');
}

function attachFailed(name: string, program: BpfProgram, cause: unknown): FairleadError {
	const text = `cannot attach ${program.name} as ${name}: ${errorMessage(cause)}`;
	return new FairleadError('ATTACH_FAILED', text, { cause, link: name });
}

/** Attachment a pin or marker belongs to. */
function nameOf(entry: string): string {
	return MARKER.exec(entry)?.[1] ?? entry;
}

/** The pinned link if it can be opened and is at the target. */
function openLink(path: string, target: LinkTarget): BpfLink | undefined {
	let link: BpfLink | undefined;
	try {
		link = BpfLink.openPinned(path);
		if (isAt(link, target)) return link;
	} catch {
		// attach() meets the same error and tells it.
	}
	link?.close();
	return undefined;
}

function isSwapped(link: BpfLink, program: BpfProgram): boolean {
	try {
		link.update(program);
		return true;
	} catch {
		return false; // as above
	}
}

/** @returns false when nothing is pinned there, or the pin's device is gone or another one */
function replaceProgram(path: string, program: BpfProgram, target: LinkTarget): boolean {
	let link: BpfLink;
	try {
		link = BpfLink.openPinned(path);
	} catch (error) {
		if (error instanceof NativeError && error.code === 'ENOENT') return false;
		throw error;
	}
	try {
		if (!isAt(link, target)) {
			unlinkSync(path);
			return false;
		}
		link.update(program);
		return true;
	} catch (error) {
		// A cgroup or device that was removed leaves a defunct link behind.
		if (!(error instanceof NativeError) || !['ENOLINK', 'ENODEV'].includes(error.code)) throw error;
		unlinkSync(path);
		return false;
	} finally {
		link.close();
	}
}

function attachNew(program: BpfProgram, target: LinkTarget): BpfLink {
	switch (target.kind) {
		case 'tc':
			return BpfLink.attachTcx(program, target.ifindex, target.where);
		case 'xdp':
			return BpfLink.attachXdp(program, target.ifindex, target.mode);
		case 'cgroup':
			return BpfLink.attachCgroup(program, target.path, target.type);
	}
}

/** Is the link at this device, and in this mode? A cgroup's is by its name. */
function isAt(link: BpfLink, target: LinkTarget): boolean {
	if (target.kind === 'cgroup') return true;
	if (link.info.ifindex !== target.ifindex) return false;
	return target.kind === 'tc' || xdpMode(target.ifindex) === target.mode;
}
