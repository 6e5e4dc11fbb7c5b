/** What tests load the programs with that want all of them, and not a certain node. */
import type { DatapathSettings } from '../../agent/kernel/datapath.ts';
import type { MapSizes } from '../../agent/kernel/pinned-maps.ts';

const none = new Uint8Array(16);
const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const mapped = (a: number, b: number, c: number, d: number): Uint8Array =>
	Uint8Array.of(...none.subarray(0, 10), 0xff, 0xff, a, b, c, d);
const v6 = (last: number): Uint8Array => Uint8Array.of(0xfd, 0, 2, 0x44, ...none.subarray(0, 11), last);
const mask = (bytes: number): Uint8Array => new Uint8Array(16).fill(0xff, 0, bytes);

/** Everything that is on by default. @param devices  interface indexes */
export function settingsOf(devices: { uplink: number; overlay: number; host: number }): DatapathSettings {
	return {
		uplinkIfindex: devices.uplink,
		overlayIfindex: devices.overlay,
		hostIfindex: devices.host,
		vni: 1,
		vxlanPort: 8472,
		snatPortMin: 50_000,
		snatPortMax: 60_000,
		podMtu: 1450,
		uplinkMtu: 1500,
		uplinkRows: 0,
		nodeAddr4: mapped(172, 30, 1, 11),
		nodeAddr6: v6(1),
		podNet4: mapped(10, 244, 1, 0),
		podMask4: mask(15),
		podNet6: v6(0),
		podMask6: mask(8),
		hostMac: mac,
		overlayMac: mac,
		events: 1,
		masquerade4: 1,
		masquerade6: 1,
		sockLb: 1,
		northSouth: 0,
		eventRate: 100,
	};
}

/** Entries of the maps that take time or memory to make; their size is nothing to the verifier. */
export const SMALL_MAPS: MapSizes = Object.fromEntries(
	['services', 'slots', 'backends', 'sock_rev', 'ct4', 'ct6', 'frags', 'ipcache', 'cidrs'].map((name) => [name, 4096]),
);
