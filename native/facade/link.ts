/** Attaching programs. */
import { addon, handleOf, type LinkHandle, type LinkInfo, programHandles, type Where } from './addon.ts';
import type { BpfProgram } from './program.ts';

export type CgroupAttachType =
	| 'connect4'
	| 'connect6'
	| 'sendmsg4'
	| 'sendmsg6'
	| 'recvmsg4'
	| 'recvmsg6'
	| 'getpeername4'
	| 'getpeername6'
	| 'post_bind4'
	| 'post_bind6'
	| 'bind4'
	| 'bind6'
	| 'sock_create'
	| 'sock_release';

export interface TcxHook {
	readonly program: BpfProgram;
	readonly ifindex: number;
	readonly where: Where;
}

/** An attachment. It ends when the last fd and pin of it are gone, or by detach(). */
export class BpfLink {
	readonly #handle: LinkHandle;

	private constructor(handle: LinkHandle) {
		this.#handle = handle;
	}

	/** @throws NativeError EOPNOTSUPP when the kernel has no tcx (< 6.6): use clsact. ENODEV: no such interface. */
	static attachTcx(program: BpfProgram, ifindex: number, where: Where): BpfLink {
		return new BpfLink(addon.linkAttachTcx(handleOf(programHandles, program, 'program'), ifindex, where));
	}

	/**
	 * attachTcx() for each, on one worker thread: the kernel waits for an RCU grace period in it, some 10 ms with nothing else
	 * to do. Programs may be closed meanwhile. When one is refused, none stays.
	 * @returns one for each hook, in their order
	 */
	static async attachTcxAsync(hooks: readonly TcxHook[]): Promise<BpfLink[]> {
		const args = hooks.flatMap(({ program, ifindex, where }) => [
			handleOf(programHandles, program, 'program'),
			ifindex,
			where,
		]);
		return (await addon.linkAttachTcxAsync(...args)).map((handle) => new BpfLink(handle));
	}

	/** @throws NativeError EOPNOTSUPP when the driver has no native XDP: use 'generic'. EBUSY: another one is attached. */
	static attachXdp(program: BpfProgram, ifindex: number, mode: 'native' | 'generic'): BpfLink {
		return new BpfLink(addon.linkAttachXdp(handleOf(programHandles, program, 'program'), ifindex, mode));
	}

	/** @param cgroupPath a cgroup v2 directory */
	static attachCgroup(program: BpfProgram, cgroupPath: string, type: CgroupAttachType): BpfLink {
		return new BpfLink(addon.linkAttachCgroup(handleOf(programHandles, program, 'program'), cgroupPath, type));
	}

	static openPinned(path: string): BpfLink {
		return new BpfLink(addon.linkOpenPinned(path));
	}

	static openById(id: number): BpfLink {
		return new BpfLink(addon.linkOpenById(id));
	}

	/** Asked of the kernel each time. `ifindex` (tcx, XDP) becomes 0 when the interface is gone. */
	get info(): LinkInfo {
		return addon.linkInfo(this.#handle);
	}

	/** Replaces the program atomically: each packet sees the old one or the new one. */
	update(program: BpfProgram): void {
		addon.linkUpdate(this.#handle, handleOf(programHandles, program, 'program'));
	}

	pin(path: string): void {
		addon.linkPin(this.#handle, path);
	}

	/** Ends the attachment although fds or pins remain. */
	detach(): void {
		addon.linkDetach(this.#handle);
	}

	close(): void {
		addon.linkClose(this.#handle);
	}
}

export interface ClsactSlot {
	/** 1 … 65535; lower runs first. */
	priority: number;
	/** 1 … 2^32-1 */
	handle: number;
}

/** tc filters for kernels without tcx. They stay until detached or the interface goes, also after this process. */
export const clsact = {
	/** Adds the qdisc if needed; replaces what is in the slot, atomically. */
	attach(program: BpfProgram, ifindex: number, where: Where, slot: ClsactSlot): void {
		addon.clsactAttach(handleOf(programHandles, program, 'program'), ifindex, where, slot.priority, slot.handle);
	},
	/** Leaves the qdisc: others may use it. @throws NativeError ENOENT when the slot is empty. */
	detach(ifindex: number, where: Where, slot: ClsactSlot): void {
		addon.clsactDetach(ifindex, where, slot.priority, slot.handle);
	},
	/** @returns the id of the program in the slot, undefined when there is none. */
	programId(ifindex: number, where: Where, slot: ClsactSlot): number | undefined {
		return addon.clsactQuery(ifindex, where, slot.priority, slot.handle);
	},
};
