/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Constants set in .rodata before load; the verifier removes what they switch off. A change means loading again.
 */
#pragma once
#include <linux/types.h>

const volatile __u32 cfg_uplink_ifindex = 0;
const volatile __u32 cfg_uplink_rows = 0;     /* highest index of uplinks in use; 0 = there is just the one uplink */
const volatile __u32 cfg_overlay_ifindex = 0; /* VXLAN device; 0 = no tunnels */
const volatile __u32 cfg_host_ifindex = 0;    /* node's side of the host device pair (fl_host); 0 = none */
const volatile __u32 cfg_vni = 0;
const volatile __u16 cfg_vxlan_port = 8472; /* UDP, host byte order */
const volatile __u16 cfg_snat_port_min = 0; /* first and last masquerade port, host byte order; 0 = no masquerade */
const volatile __u16 cfg_snat_port_max = 0;
const volatile __u16 cfg_pod_mtu = 1500;
const volatile __u16 cfg_uplink_mtu = 1500;
const volatile __u8 cfg_node_addr4[16] = {}; /* ::ffff:a.b.c.d; all zero = family not in use */
const volatile __u8 cfg_node_addr6[16] = {};
const volatile __u8 cfg_pod_net4[16] = {}; /* this node's pod CIDR and its mask; all zero = family not in use */
const volatile __u8 cfg_pod_mask4[16] = {};
const volatile __u8 cfg_pod_net6[16] = {};
const volatile __u8 cfg_pod_mask6[16] = {};
const volatile __u8 cfg_host_mac[6] = {};    /* of fl_host */
const volatile __u8 cfg_overlay_mac[6] = {}; /* the same on every node */
const volatile __u8 cfg_events = 1;          /* write flow events */
const volatile __u8 cfg_masquerade4 = 0;
const volatile __u8 cfg_masquerade6 = 0;
const volatile __u8 cfg_sock_lb = 1;           /* the socket programs are attached */
const volatile __u8 cfg_has_set_retval = 1;    /* bpf_set_retval exists (kernel 5.18) */
const volatile __u8 cfg_has_kern_ctx = 0;      /* bpf_cast_to_kern_ctx exists (kernel 6.2) */
const volatile __u8 cfg_has_coarse_time = 0;   /* bpf_ktime_get_coarse_ns exists (kernel 5.11) */
const volatile __u8 cfg_xdp_frags = 0;         /* packets of XDP may be in several buffers (kernel 5.18) */
const volatile __u8 cfg_has_csum_ipv6 = 0;     /* bpf_l4_csum_replace knows BPF_F_IPV6 (kernel 6.16) */
const volatile __u8 cfg_has_tunnel_source = 0; /* struct bpf_tunnel_key has the outer source (kernel 6.0) */
const volatile __u8 cfg_north_south = 0;       /* enum north_south */
const volatile __u64 cfg_host_netns = 0;       /* cookie of the node's network namespace; 0 = not known (kernel 5.14) */
const volatile __u8 cfg_dry_run = 0;           /* look only: nothing is counted, reported or remembered */
/*
 * Only while live flows move into tables of another layout; see lib/carry.h. cfg_carry: enum carry_table of those that move. Of each table
 * the place of every byte of a new value in the old one, and of an old one in the new one, or enum carry_place.
 */
const volatile __u8 cfg_carry = 0;
const volatile __u8 cfg_carry_ct4_in[128] = {}; /* CARRY_VALUE_MAX */
const volatile __u8 cfg_carry_ct4_out[128] = {};
const volatile __u8 cfg_carry_ct6_in[128] = {};
const volatile __u8 cfg_carry_ct6_out[128] = {};
const volatile __u32 cfg_hz = 250;         /* jiffies per second */
const volatile __u32 cfg_event_rate = 100; /* events per second, CPU and drop reason */
