// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A switch that costs next to nothing: frames pass from port to port as a network card's driver hands them over, without a socket
 * buffer. It learns who is where from source addresses. What it does not know yet, and all that is for everybody, goes the way of
 * the bridge that the ports belong to.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum wire_limits {
	WIRE_STATIONS = 64,
};

struct wire_mac {
	__u8 bytes[8]; /* the last two are 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WIRE_STATIONS);
	__type(key, struct wire_mac);
	__type(value, __u32); /* ifindex of the port */
} wire_stations SEC(".maps");

static void learn(const struct ethhdr *eth, __u32 port)
{
	struct wire_mac mac = {};

	__builtin_memcpy(mac.bytes, eth->h_source, ETH_ALEN);
	__u32 *known = bpf_map_lookup_elem(&wire_stations, &mac);

	if (known == NULL || *known != port)
		bpf_map_update_elem(&wire_stations, &mac, &port, BPF_ANY);
}

SEC("xdp")
int wire(struct xdp_md *ctx)
{
	const struct ethhdr *eth = (void *)(long)ctx->data;
	struct wire_mac mac = {};

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	learn(eth, ctx->ingress_ifindex);
	__builtin_memcpy(mac.bytes, eth->h_dest, ETH_ALEN);
	__u32 *port = bpf_map_lookup_elem(&wire_stations, &mac);

	return port == NULL ? XDP_PASS : bpf_redirect(*port, 0);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
