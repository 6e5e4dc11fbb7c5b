/** Loaded BPF programs. */
import { addon, type ProgramHandle, programHandles, type TestRunResult } from './addon.ts';

/** A loaded program. */
export class BpfProgram {
	/** The C function's name; programs opened by pin or id carry the kernel's copy, cut at 15 bytes. */
	readonly name: string;
	readonly id: number;
	/** enum bpf_prog_type */
	readonly type: number;
	/** Hash of the instructions, 16 hex digits: equal tags mean equal code. */
	readonly tag: string;
	readonly #handle: ProgramHandle;

	private constructor(handle: ProgramHandle) {
		const { name, id, type, tag } = addon.programInfo(handle);
		this.#handle = handle;
		this.name = name;
		this.id = id;
		this.type = type;
		this.tag = tag;
		programHandles.set(this, handle);
	}

	/** For BpfObject only. */
	static fromHandle(handle: ProgramHandle): BpfProgram {
		return new BpfProgram(handle);
	}

	static openPinned(path: string): BpfProgram {
		return new BpfProgram(addon.programOpenPinned(path));
	}

	static openById(id: number): BpfProgram {
		return new BpfProgram(addon.programOpenById(id));
	}

	/**
	 * BPF_PROG_TEST_RUN. @param o.data packet from its Ethernet header; @param o.ctx for example a struct __sk_buff;
	 * @param o.dataOutSize room for the result, by default data and 512 more bytes; ENOSPC when it is too small.
	 * @returns retval as a signed 32-bit number (TCX_NEXT is -1), packet and context afterwards, mean ns of one run.
	 */
	testRun(o: {
		data?: Uint8Array;
		ctx?: Uint8Array;
		repeat?: number;
		dataOutSize?: number;
		flags?: number;
	}): TestRunResult {
		return addon.programTestRun(this.#handle, o.data, o.ctx, o.repeat ?? 1, o.dataOutSize, o.flags);
	}

	pin(path: string): void {
		addon.programPin(this.#handle, path);
	}

	close(): void {
		addon.programClose(this.#handle);
	}
}
