/** Whole frames of one interface. */
import { addon, type PacketSocketHandle } from './addon.ts';
import { deliverBatches } from './batches.ts';

/** struct virtio_net_hdr in front of every frame: what is left to do about checksum and segmentation. */
export const VIRTIO_HEADER_BYTES = 10;

export interface PacketSocketOptions {
	/** Interface whose frames are received. */
	readonly ifindex: number;
	/** skb->mark of what is sent. */
	readonly mark: number;
	/** Frames that may wait for JavaScript; more are dropped and counted in `lost`. Default 4096. */
	readonly maxQueued?: number;
}

/**
 * Receives every frame of an interface, in order, and sends frames by any interface. Needs CAP_NET_RAW. Keeps the process alive until
 * close().
 */
export class PacketSocket {
	readonly #handle: PacketSocketHandle;
	#closed = false;

	/** @param onFrames  gets each batch once; the arrays are views of one buffer that nobody else uses */
	constructor(options: PacketSocketOptions, onFrames: (frames: Uint8Array[]) => void) {
		const deliver = deliverBatches(onFrames, () => {
			if (!this.#closed) addon.packetAcknowledge(this.#handle);
		});
		this.#handle = addon.packetOpen(options.ifindex, options.mark, deliver, options.maxQueued ?? 4096);
	}

	/**
	 * Sends a frame by an interface, as if the kernel's stack did: programs at its egress see it.
	 * @param frame  with its virtio header; a received frame may be sent as it is
	 * @throws NativeError ENXIO when there is no such interface, ENETDOWN, ENOBUFS
	 */
	send(ifindex: number, frame: Uint8Array): void {
		addon.packetSend(this.#handle, ifindex, frame);
	}

	/** Frames dropped because somebody was too slow. */
	get lost(): number {
		return addon.packetLost(this.#handle);
	}

	/** No callback comes after this. */
	close(): void {
		this.#closed = true;
		addon.packetClose(this.#handle);
	}
}
