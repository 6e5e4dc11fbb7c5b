/** `node send-frames.ts DEVICE HEX...`: sends Ethernet frames, given without checksum of the link, by a device of the namespace it runs in. */
import { ifindexOf, PacketSocket, VIRTIO_HEADER_BYTES } from '../../native/index.ts';

const [device = '', ...frames] = process.argv.slice(2);
const socket = new PacketSocket({ ifindex: ifindexOf('lo'), mark: 0 }, () => undefined);
for (const frame of frames)
	socket.send(ifindexOf(device), Buffer.concat([Buffer.alloc(VIRTIO_HEADER_BYTES), Buffer.from(frame, 'hex')]));
socket.close();
