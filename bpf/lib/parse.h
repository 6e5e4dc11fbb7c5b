/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a packet to struct pkt: addresses, ports, where the headers are. Checks lengths; knows fragments and IPv6
 * extension headers. Changes nothing in the packet.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "common.h"
#include "lb_types.h"

enum pkt_flags {
	PKT_FRAGMENT = 1,       /* any part of a fragmented datagram */
	PKT_LATER_FRAGMENT = 2, /* without L4 header; ports come from fl_frags_1 */
	PKT_DONT_FRAGMENT = 4,  /* IPv4 DF, and always for IPv6 */
	PKT_ICMP_ERROR = 8,
	PKT_LEAVING = 16, /* of the node's stack, on its way out of a device; set before the packet is parsed */
};

enum tcp_flag_bits {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

enum sctp_chunk {
	SCTP_INIT =
		1, /* begins an association; nothing else is in its packet (RFC 9260 section 6.10), nor in that of its answer */
	SCTP_INIT_ACK = 2,
};

enum parse_limits {
	HEADERS_SHORTEST =
		54, /* Ethernet, IPv4 and TCP without options; with fewer linear bytes HEADERS_LINEAR are pulled */
};

enum frag_limits {
	FRAG_TIMEOUT_S = 10, /* an older first fragment is of another datagram with the same identification */
};

/* parse_packet's answer when the packet is neither IPv4 nor IPv6. Negative answers are -DROP_REASON_*. */
enum parse_result {
	PARSE_OK = 0,
	PARSE_NOT_IP = 1,
};

struct pkt {
	addr_t src;
	addr_t dst;
	addr_t xlate; /* the other address of its flow's entry; set with the entry */
	union {
		struct {
			__be16 sport; /* ICMP echo: both ports are the identifier; other protocols without ports: 0 */
			__be16 dport;
		};
		__u32 ports; /* both, as they are in the packet */
	};
	__u8 proto;
	__u8 family;    /* 4 or 6 */
	__u8 tcp_flags; /* low byte; ICMP: type; SCTP: type of the first chunk */
	__u8 icmp_code;
	__u16 l4_off; /* from the start of the frame */
	__u16 flags;  /* enum pkt_flags */
	__u32 ip_len; /* bytes from the IP header on */
	__u8 ttl;
	__u8 sender_flags; /* enum endpoint_flags of a pod of this node, where a program has looked at it as sender */
	__u8 pad[2];
};

/* How a packet came from the node's stack. */
enum via_host {
	VIA_HOST_NOT = 0,
	VIA_HOST_DEVICE = 1, /* through the host device, which its destination is routed into */
	VIA_HOST_LOOPBACK =
		2, /* taken off the loopback device or an uplink: routes to its destination, if any, do not lead into the host device */
};

/* Where a flow starts, as the hook knows it. */
struct flow_origin {
	struct peer_ref peer;
	__u32 identity;
	__u8 hook;      /* enum hook */
	__u8 client;    /* enum lb_client */
	__u8 via_host;  /* enum via_host */
	__u8 forwarded; /* ... which did not make it */
	__u32 backend;  /* what direct server return has chosen; 0 = choose here */
};

/* What the verdicts of a flow depend on, and what they are; see judge.h. [0] is the initiator, [1] the responder after translation. */
struct judged {
	struct peer_ref peer[2];
	__u32 identity[2];
	__u32 port_proto; /* as policy_verdict() wants it */
	__u16 gen[2];     /* of the policies that were asked */
	__u16 rule[2];    /* cookies */
	__u8 denied;      /* enum judged_side */
	__u8 audited;     /* enum judged_side */
	__u8 reply;       /* the packet at hand comes from the responder */
	__u8 translated;  /* scratch->inner has the responder's address and port */
};

/*
 * The packet at hand and what its flow needs, per CPU: these programs run with softirqs off and do not nest. It is not on the
 * stack, because the verifier follows every value it knows there and would walk the programs once for each kind of packet.
 */
/* What direct server return knows of the packet at hand; see dsr_receive.h. */
struct dsr_packet {
	addr_t target;     /* tunnel address of the node it is to be sent to */
	addr_t hint;       /* tunnel address of another node that may have the flow; zero = none */
	__u32 backend;     /* chosen for a new flow; 0 = not by direct server return */
	__u32 alternative; /* backend that the table before a change names; 0 = the same or none */
	__u16 tag;
	__u16 hint_tag;
	__u8 received; /* came in an envelope */
	__u8 sent_on;  /* how often nodes that do not know the flow have sent it on; see DSR_SENT_ON_MAX */
	__u16 pad;
};

/* A packet that an ICMP error quotes. */
struct quoted {
	struct pkt pkt; /* its tuple */
	__u32 ip_off;   /* of its headers, from the start of the frame */
	__u32 l4_off;
};

/* An entry on its way between tables of different layouts. */
struct carried {
	struct ct_key key;
	__u8 value[128]; /* CARRY_VALUE_MAX */
};

/* New address and port of one side of a packet. */
struct side_change {
	addr_t addr;
	__be16 port; /* 0 = stays */
	__u8 side;   /* enum rewrite_side */
	__u8 wanted;
	__u32 pad;
};

struct scratch {
	struct pkt pkt;
	struct ct_entry made; /* what the first packet of a flow needs for forward() */
	struct pkt inner;     /* the packet with the backend as destination */
	struct flow_origin origin;
	struct lb_query query;
	struct lb_choice choice;
	struct judged judged;
	struct dsr_packet dsr; /* set by programs that take packets from other machines */
	struct quoted quoted;
	struct carried carried;
	struct ct_key key;         /* of ct_find */
	addr_t client;             /* whom translate() gives a reply of a masqueraded flow */
	struct side_change change; /* of rewrite_here */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} fl_scratch_1 SEC(".maps");

/* The scratch of this CPU. Never NULL in practice; the verifier wants it checked. */
INLINE struct scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&fl_scratch_1, &zero);
}

/* Scratch with a zeroed packet. */
INLINE struct scratch *scratch_begin(void)
{
	struct scratch *scratch = scratch_get();

	if (scratch)
		__builtin_memset(&scratch->pkt, 0, sizeof(scratch->pkt));
	return scratch;
}

struct ports {
	__be16 source;
	__be16 dest;
};

/* First 8 bytes of ICMP and ICMPv6. */
struct icmp_head {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 id; /* echo only */
	__be16 sequence;
};

INLINE int icmp_is_echo(__u8 proto, __u8 type)
{
	return proto == L4_PROTO_ICMP ? type == 8 || type == 0 : type == 128 || type == 129;
}

INLINE int icmp_is_error(__u8 proto, __u8 type)
{
	return proto == L4_PROTO_ICMP ? type == 3 || type == 11 || type == 12 || type == 5 : type >= 1 && type <= 4;
}

/*
 * Remembers the byte range [start, end) of a datagram, in units of 8 bytes; start is not 0. Unused elements are empty ranges
 * at 0, which match nothing: loops up to `count` are more than verifiers before 6.8 follow.
 * Returns 0, or a negative reason if the range overlaps one that was seen or there are too many pieces.
 */
INLINE int frag_add_range(struct frag_entry *frag, __u16 start, __u16 end)
{
	for (__u32 i = 0; i < LIMIT_FRAG_RANGES; i++) {
		if (start < frag->end[i] && frag->start[i] < end)
			return -DROP_REASON_FRAGMENT_OVERLAP;
	}
	frag->seen += end - start;
	for (__u32 i = 0; i < LIMIT_FRAG_RANGES; i++) {
		if (frag->end[i] == start) {
			frag->end[i] = end;
			return 0;
		}
		if (frag->start[i] == end) {
			frag->start[i] = start;
			return 0;
		}
	}
	__u32 used = frag->count;

	if (used >= LIMIT_FRAG_RANGES)
		return -DROP_REASON_FRAGMENT_OVERLAP;
	barrier_var(used); /* what was compared is what is used as index */
	frag->start[used] = start;
	frag->end[used] = end;
	frag->count = used + 1;
	return 0;
}

/*
 * Gives a fragment the ports of its datagram. `offset` and `len` are in bytes of the L4 payload.
 * The first fragment must already have its ports in `p`.
 */
NOINLINE int frag_track(struct pkt *p, __u32 id, __u32 offset, __u32 len, __u32 more)
{
	struct frag_key key = {.id = id, .proto = p->proto, .leaving = !!(p->flags & PKT_LEAVING)};
	__u16 start = offset >> 3, end = (offset + len + 7) >> 3;
	struct frag_entry *frag;

	*addr_of(key.src) = p->src;
	*addr_of(key.dst) = p->dst;
	frag = bpf_map_lookup_elem(&fl_frags_1, &key);
	if (offset == 0) {
		struct frag_entry first = {
			.sport = p->sport, .dport = p->dport, .count = 1, .seen = end, .created = jiffies32()};

		/* A second first fragment is an overlap, unless the identification is in use again. */
		if (frag && first.created - frag->created < FRAG_TIMEOUT_S * cfg_hz)
			return -DROP_REASON_FRAGMENT_OVERLAP;
		first.end[0] = end;
		return bpf_map_update_elem(&fl_frags_1, &key, &first, BPF_ANY) == 0 ? 0 : -DROP_REASON_CT_INSERT;
	}
	if (!frag)
		return -DROP_REASON_FRAGMENT_NO_FIRST;
	p->sport = frag->sport;
	p->dport = frag->dport;
	int err = frag_add_range(frag, start, end);

	if (!more)
		frag->total = end;
	if (!err && frag->seen == frag->total)
		bpf_map_delete_elem(&fl_frags_1, &key); /* complete: the identification may be used again */
	return err;
}

/* The reason for a packet that ends within its L4 header. */
INLINE int parse_short(const struct pkt *p)
{
	return p->flags & PKT_FRAGMENT ? -DROP_REASON_FRAGMENT_SHORT : -DROP_REASON_INVALID_PACKET;
}

/* Reads ports, flags or the echo identifier at p->l4_off. */
INLINE int parse_l4(struct __sk_buff *skb, struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__u32 off = p->l4_off & 0x3ff;
	void *l4 = data + off;

	if (l4 + sizeof(struct tcphdr) > data_end && (__u32)(data_end - data) < skb->len) {
		__u32 want = off + sizeof(struct tcphdr);

		if (bpf_skb_pull_data(skb, want < skb->len ? want : skb->len) < 0)
			return -DROP_REASON_INVALID_PACKET;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
		l4 = data + off;
	}
	switch (p->proto) {
	case L4_PROTO_TCP:
		if (l4 + sizeof(struct tcphdr) > data_end || p->ip_len + ETH_LEN < off + sizeof(struct tcphdr))
			return parse_short(p);
		if (((struct tcphdr *)l4)->doff < 5)
			return -DROP_REASON_INVALID_PACKET;
		p->tcp_flags = ((__u8 *)l4)[13];
		break;
	case L4_PROTO_ICMP:
	case L4_PROTO_ICMPV6:
		if ((p->family == 4) != (p->proto == L4_PROTO_ICMP)) /* nobody's: neither means the other's messages */
			return -DROP_REASON_INVALID_PACKET;
		/* fallthrough */
	case L4_PROTO_UDP:
		if (l4 + 8 > data_end || p->ip_len + ETH_LEN < off + 8)
			return parse_short(p);
		break;
	case L4_PROTO_SCTP:
		if (l4 + 12 > data_end || p->ip_len + ETH_LEN < off + 12)
			return parse_short(p);
		if (l4 + 13 <= data_end)
			p->tcp_flags = ((__u8 *)l4)[12];
		break;
	default:
		return 0;
	}
	if (p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6) {
		struct icmp_head *icmp = l4;

		p->tcp_flags = icmp->type;
		p->icmp_code = icmp->code;
		if (icmp_is_echo(p->proto, icmp->type))
			p->sport = p->dport = icmp->id;
		else if (icmp_is_error(p->proto, icmp->type))
			p->flags |= PKT_ICMP_ERROR;
		return 0;
	}
	p->ports = *(__u32 *)l4;
	return 0;
}

/* The IPv4 fragment fields: parses L4 of first fragments and gives later ones their ports. */
NOINLINE int parse_ipv4_fragment(struct __sk_buff *skb, struct pkt *p, __u32 frag_off, __u32 id)
{
	__u32 offset = (frag_off & 0x1fff) << 3;
	__u32 len = p->ip_len + ETH_LEN - p->l4_off;

	p->flags |= PKT_FRAGMENT;
	if (offset) {
		p->flags |= PKT_LATER_FRAGMENT;
	} else {
		int err = parse_l4(skb, p);

		if (err)
			return err;
	}
	if ((frag_off & 0x2000) && (len & 7))
		return -DROP_REASON_INVALID_PACKET;
	return frag_track(p, id, offset, len, frag_off & 0x2000);
}

INLINE int parse_ipv4(struct __sk_buff *skb, struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_LEN;
	__u32 header_len, total;

	if ((void *)(ip + 1) > data_end)
		return -DROP_REASON_INVALID_PACKET;
	header_len = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_len < IPV4_MIN_LEN || ETH_LEN + header_len > skb->len)
		return -DROP_REASON_INVALID_PACKET;
	if (total == 0 && skb->gso_size) /* BIG TCP (kernel 6.3) */
		total = skb->len - ETH_LEN;
	if (total < header_len || total + ETH_LEN > skb->len)
		return -DROP_REASON_INVALID_PACKET;
	p->family = 4;
	p->src = addr_from_ipv4(ip->saddr);
	p->dst = addr_from_ipv4(ip->daddr);
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->ip_len = total;
	p->l4_off = ETH_LEN + header_len;
	__u32 frag_off = bpf_ntohs(ip->frag_off);

	if (frag_off & 0x4000)
		p->flags |= PKT_DONT_FRAGMENT;
	if (frag_off & 0x3fff)
		return parse_ipv4_fragment(skb, p, frag_off, ip->id);
	return parse_l4(skb, p);
}

struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in bytes, low three bits are flags */
	__be32 id;
};

struct ipv6_extension {
	__u8 next;
	__u8 len;  /* in units of 8 bytes, the first not counted */
	__u8 type; /* routing header */
	__u8 left;
};

/* Walks extension headers; p->proto and p->l4_off are those of the first. Parses L4 unless it is a later fragment. */
NOINLINE int parse_ipv6_extensions(struct __sk_buff *skb, struct pkt *p)
{
	struct ipv6_fragment frag = {};
	__u32 off = p->l4_off;
	__u8 proto = p->proto;
	int fragmented = 0;

	/* Unrolled: verifiers before 6.8 refuse a loop that is entered in its middle, which clang makes of it. */
#pragma unroll
	for (int i = 0; i <= LIMIT_IPV6_EXTENSIONS; i++) {
		struct ipv6_extension ext;

		if (proto != IPPROTO_HOPOPTS && proto != IPPROTO_DSTOPTS && proto != IPPROTO_ROUTING &&
		    proto != IPPROTO_FRAGMENT && proto != IPPROTO_AH)
			break;
		if (i == LIMIT_IPV6_EXTENSIONS)
			return -DROP_REASON_EXTENSION_HEADERS;
		if (bpf_skb_load_bytes(skb, off, &ext, sizeof(ext)) < 0)
			return -DROP_REASON_INVALID_PACKET;
		if (proto == IPPROTO_ROUTING && ext.type == 0)
			return -DROP_REASON_EXTENSION_HEADERS;
		if (proto == IPPROTO_FRAGMENT) {
			if (fragmented || bpf_skb_load_bytes(skb, off, &frag, sizeof(frag)) < 0)
				return -DROP_REASON_INVALID_PACKET;
			fragmented = 1;
			off += 8;
		} else {
			off += proto == IPPROTO_AH ? (ext.len + 2) * 4 : (ext.len + 1) * 8;
		}
		proto = ext.next;
		if (fragmented && (bpf_ntohs(frag.offset) & 0xfff8))
			break; /* what follows the fragment header of a later fragment is payload */
	}
	if (off > 0x3ff - 64 || off > p->ip_len + ETH_LEN)
		return -DROP_REASON_EXTENSION_HEADERS;
	p->proto = proto;
	p->l4_off = off;
	if (!fragmented)
		return parse_l4(skb, p);

	__u32 offset = bpf_ntohs(frag.offset), len = p->ip_len + ETH_LEN - off;

	if (!(offset & 0xfff9)) /* atomic fragment (RFC 6946) */
		return parse_l4(skb, p);
	p->flags |= PKT_FRAGMENT;
	if (offset & 0xfff8) {
		p->flags |= PKT_LATER_FRAGMENT;
	} else {
		int err = parse_l4(skb, p);

		if (err)
			return err;
	}
	if ((offset & 1) && (len & 7))
		return -DROP_REASON_INVALID_PACKET;
	return frag_track(p, frag.id, offset & 0xfff8, len, offset & 1);
}

INLINE int parse_ipv6(struct __sk_buff *skb, struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_LEN;
	__u32 payload;

	if ((void *)(ip + 1) > data_end)
		return -DROP_REASON_INVALID_PACKET;
	payload = bpf_ntohs(ip->payload_len);
	if (payload == 0 && skb->gso_size) /* BIG TCP (kernel 5.19) */
		payload = skb->len - ETH_LEN - IPV6_LEN;
	if (ip->version != 6 || payload + ETH_LEN + IPV6_LEN > skb->len)
		return -DROP_REASON_INVALID_PACKET;
	p->family = 6;
	__builtin_memcpy(&p->src, &ip->saddr, 16);
	__builtin_memcpy(&p->dst, &ip->daddr, 16);
	/* Never on the wire (RFC 4291 section 2.5.5.2), and here it would be taken for IPv4. */
	if (addr_is_ipv4(&p->src) || addr_is_ipv4(&p->dst))
		return -DROP_REASON_INVALID_PACKET;
	p->flags |= PKT_DONT_FRAGMENT;
	p->proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->ip_len = payload + IPV6_LEN;
	p->l4_off = ETH_LEN + IPV6_LEN;
	switch (p->proto) {
	case L4_PROTO_TCP:
	case L4_PROTO_UDP:
	case L4_PROTO_ICMPV6:
	case L4_PROTO_SCTP:
		return parse_l4(skb, p);
	default:
		return parse_ipv6_extensions(skb, p);
	}
}

/* Fills `p`, which must be zeroed (scratch_begin). The headers are in the linear part afterwards. */
INLINE int parse_packet(struct __sk_buff *skb, struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	/*
	 * TCP keeps just its headers linear and sends clones. Pulling more than that would copy the head of every packet, so parse_l4
	 * pulls what a longer header needs.
	 */
	if (data + HEADERS_SHORTEST > data_end) {
		__u32 want = skb->len < HEADERS_LINEAR ? skb->len : HEADERS_LINEAR;

		if ((__u32)(data_end - data) < want && bpf_skb_pull_data(skb, want) < 0)
			return -DROP_REASON_INVALID_PACKET;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return -DROP_REASON_INVALID_PACKET;
	__be16 type = *(volatile __be16 *)((void *)eth + ETH_LEN -
					   2); /* the struct is packed: it would be read byte by byte */

	if (type == bpf_htons(ETH_IPV4))
		return parse_ipv4(skb, p);
	if (type == bpf_htons(ETH_IPV6))
		return parse_ipv6(skb, p);
	return PARSE_NOT_IP;
}
