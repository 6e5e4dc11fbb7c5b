// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Service translation at the socket: connect and sendmsg get a backend as destination, getpeername and recvmsg show the
 * service. Costs nothing per packet. A socket that is not translated here meets the packet path.
 */
#include <linux/errno.h>
#include "../lib/drop.h"
#include "../lib/lb.h"
#include "../lib/peer.h"
#include "../lib/policy.h"

enum sock_verdict {
	SOCK_DENY = 0,
	SOCK_ALLOW = 1,
};

INLINE int sock_is_supported(const struct bpf_sock_addr *ctx)
{
	return ctx->protocol == L4_PROTO_TCP || ctx->protocol == L4_PROTO_UDP;
}

INLINE addr_t sock_node_addr(const addr_t *addr)
{
	return addr_is_ipv4(addr) ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);
}

/*
 * Who asks, as far as a socket tells: a process of the node itself is the node's address. Which address a pod's socket will use
 * is not known yet.
 */
INLINE addr_t sock_client_addr(struct bpf_sock_addr *ctx, const addr_t *addr)
{
	if (cfg_host_netns && bpf_get_netns_cookie(ctx) == cfg_host_netns)
		return sock_node_addr(addr);
	return (addr_t){};
}

/*
 * May the backend be the very pod that asks, and have policies for that (networkpolicy-semantics section 2)? Within a pod no program sees packets, so that these
 * are left to the packet path: it knows who asks.
 */
NOINLINE int sock_is_judged_as_self(struct bpf_sock_addr *ctx, const struct lb_choice *choice)
{
	struct ipcache_entry owner = {.peer = choice->peer};
	struct endpoint *endpoint = owner.peer.kind == PEER_KIND_LOCAL_POD ? endpoint_of(&owner.peer) : 0;

	if (!endpoint && (owner.peer.kind == PEER_KIND_LOCAL_POD || owner.peer.kind == PEER_KIND_UNKNOWN)) {
		peer_resolve(&choice->addr, &owner);
		endpoint = owner.peer.kind == PEER_KIND_LOCAL_POD ? endpoint_of(&owner.peer) : 0;
	}
	if (!endpoint || !endpoint->policy_set || (cfg_host_netns && bpf_get_netns_cookie(ctx) == cfg_host_netns))
		return 0;
	return policy_judges_self(endpoint->policy_set,
				  addr_is_ipv4(&choice->addr) ? endpoint->identity : endpoint->identity6);
}

/* Chooses the backend for addr:port. LB_CHOSEN, LB_NOT_A_SERVICE, LB_PACKET_PATH or a reason. */
INLINE int sock_choose(struct bpf_sock_addr *ctx, const addr_t *addr, __be16 port, __u32 seed, struct lb_choice *choice)
{
	addr_t node = sock_node_addr(addr);
	struct lb_query query __attribute__((aligned(8))) = {
		.dst = *addr,
		.dport = port,
		.proto = ctx->protocol,
		.client = LB_CLIENT_INSIDE,
		.seed = seed,
	};

	if (addr_equal(addr, &node) ? !lb_has_external_ports() : !lb_maybe_vip(addr))
		return LB_NOT_A_SERVICE;
	query.src = sock_client_addr(ctx, addr);
	return lb_choose(&query, choice);
}

/* Pods have no address here yet: the agent knows them by their network namespace. */
INLINE struct flow_event *sock_event(struct bpf_sock_addr *ctx, enum event_type type, const addr_t *vip, struct pkt *p)
{
	struct flow_event *event;

	p->family = addr_is_ipv4(vip) ? 4 : 6;
	p->src = sock_client_addr(ctx, vip);
	event = event_reserve(type, HOOK_SOCKET, p);
	if (event && cfg_host_netns)
		event->bytes[0] = bpf_get_netns_cookie(ctx);
	return event;
}

NOINLINE void sock_report(struct bpf_sock_addr *ctx, const addr_t *vip, const struct lb_choice *choice)
{
	struct pkt p = {.dst = choice->addr, .dport = choice->port, .proto = ctx->protocol};
	struct flow_event *event;

	count(METRIC_SOCK_TRANSLATED);
	if (!cfg_events)
		return;
	event = sock_event(ctx, EVENT_TYPE_SOCK_CONNECT, vip, &p);
	if (!event)
		return;
	*addr_of(event->orig_dst) = *vip;
	event->orig_dport = ctx->user_port;
	event->svc_id = choice->svc_id;
	event_submit(event);
}

enum sock_memory {
	SOCK_FULL = -1,
	SOCK_NEW = 0,
	SOCK_KNOWN = 1,
};

/* Remembers what the socket believes it talks to. An entry that is already there is left alone. enum sock_memory. */
NOINLINE int sock_remember(struct bpf_sock_addr *ctx, const addr_t *vip, const struct lb_choice *choice)
{
	struct sock_rev_key key
		__attribute__((aligned(8))) = {.cookie = bpf_get_socket_cookie(ctx), .port = choice->port};
	struct sock_rev_entry entry __attribute__((aligned(8))) = {.port = ctx->user_port, .svc_id = choice->svc_id};
	struct sock_rev_entry *old;

	*addr_of(key.addr) = choice->addr;
	*addr_of(entry.addr) = *vip;
	old = bpf_map_lookup_elem(&fl_sock_rev_1, &key);
	if (old && old->port == entry.port && addr_equal(addr_of(old->addr), vip))
		return SOCK_KNOWN;
	if (bpf_map_update_elem(&fl_sock_rev_1, &key, &entry, BPF_ANY) < 0)
		return SOCK_FULL;
	sock_report(ctx, vip, choice);
	return SOCK_NEW;
}

/* In the cookie of a key of fl_sock_rev_1. Cookies are counted up from 1 and never have it. */
#define SOCK_KEPT (1ULL << 63)

/* Key of the backend that an unconnected socket keeps. */
INLINE struct sock_rev_key sock_kept_key(struct bpf_sock_addr *ctx, const addr_t *vip)
{
	struct sock_rev_key key = {.cookie = bpf_get_socket_cookie(ctx) | SOCK_KEPT, .port = ctx->user_port};

	*addr_of(key.addr) = *vip;
	return key;
}

INLINE __u32 sock_kept_word(const struct lb_choice *choice)
{
	return choice->backend | choice->generation << CT_BACKEND_INDEX_BITS;
}

/*
 * An unconnected socket stays with its backend as long as that serves, as a flow of packets does: others that come or go are none of its
 * business. 1 = `choice`, which is one of the service as it is now, has become that backend.
 */
NOINLINE int sock_keep(struct bpf_sock_addr *ctx, const addr_t *vip, struct lb_choice *choice)
{
	struct sock_rev_key key __attribute__((aligned(8))) = sock_kept_key(ctx, vip);
	struct sock_rev_entry *kept = bpf_map_lookup_elem(&fl_sock_rev_1, &key);
	struct lb_choice same = {};
	struct backend *backend;

	if (!kept)
		return 0;
	__u32 index = kept->svc_id & CT_BACKEND_INDEX_MASK;

	backend = bpf_map_lookup_elem(&fl_backends_1, &index);
	if (!backend || backend->svc_id != choice->svc_id || lb_read_backend(index, BACKEND_FLAG_SERVING, &same) ||
	    sock_kept_word(&same) != kept->svc_id)
		return 0;
	choice->addr = same.addr;
	choice->port = same.port;
	choice->backend = same.backend;
	choice->generation = same.generation;
	return 1;
}

/* From the second datagram on there is something to keep: most sockets send one and are closed. */
NOINLINE void sock_keep_from_now(struct bpf_sock_addr *ctx, const addr_t *vip, const struct lb_choice *choice)
{
	struct sock_rev_key key __attribute__((aligned(8))) = sock_kept_key(ctx, vip);
	struct sock_rev_entry entry
		__attribute__((aligned(8))) = {.port = choice->port, .svc_id = sock_kept_word(choice)};

	*addr_of(entry.addr) = choice->addr;
	bpf_map_update_elem(&fl_sock_rev_1, &key, &entry, BPF_ANY);
}

/* Tells of a connection that was refused before it had a packet. */
NOINLINE void sock_report_refused(struct bpf_sock_addr *ctx, const addr_t *vip, __u32 reason)
{
	struct pkt p = {.dst = *vip, .dport = ctx->user_port, .proto = ctx->protocol};
	struct flow_event *event;

	if (!cfg_events || !event_allowed(reason))
		return;
	event = sock_event(ctx, EVENT_TYPE_DROP, vip, &p);
	if (!event)
		return;
	event->reason = reason;
	event_submit(event);
}

/*
 * No usable endpoint: the caller gets ECONNREFUSED at once; before kernel 5.18 the packet path answers. A process of the node outside
 * the source ranges gets EPERM: the packet path sees nothing of what the node sends to an external address.
 */
INLINE int sock_refuse(struct bpf_sock_addr *ctx, const addr_t *vip, int reason)
{
	int forbidden = reason == -DROP_REASON_SOURCE_RANGE;

	if (!forbidden && reason != -DROP_REASON_NO_BACKEND && reason != -DROP_REASON_UNDEFINED_PORT)
		return SOCK_ALLOW; /* the packet path drops and counts */
	if (!forbidden && !cfg_has_set_retval)
		return SOCK_ALLOW;
	__u32 key = -reason;
	struct drop_counter *counter = bpf_map_lookup_elem(&fl_drops_1, &key);

	if (counter)
		counter->packets++;
	sock_report_refused(ctx, vip, key);
	if (!forbidden)
		bpf_set_retval(-ECONNREFUSED);
	return SOCK_DENY;
}

/* 1 = `choice` holds the new destination; otherwise *verdict is the answer. */
INLINE int sock_translate(struct bpf_sock_addr *ctx, const addr_t *addr, int is_connect, struct lb_choice *choice,
			  int *verdict)
{
	__u32 seed;
	int result, kept;

	*verdict = SOCK_ALLOW;
	if (!sock_is_supported(ctx))
		return 0;
	/* Unconnected datagrams of one socket stay with one backend while the set is the same. */
	seed = is_connect ? 0 : (__u32)(bpf_get_socket_cookie(ctx) * 0x9e3779b97f4a7c15ULL >> 32) | 1;
	result = sock_choose(ctx, addr, ctx->user_port, seed, choice);
	if (result == LB_NOT_A_SERVICE || result == LB_PACKET_PATH)
		return 0;
	/* It may be an answer: a process of this node serves another one, which appears as the service's address. */
	if (result == -DROP_REASON_UNDEFINED_PORT && !is_connect)
		return 0;
	if (result < 0) {
		*verdict = sock_refuse(ctx, addr, result);
		return 0;
	}
	kept = !is_connect && sock_keep(ctx, addr, choice);
	if (sock_is_judged_as_self(ctx, choice))
		return 0;
	result = sock_remember(ctx, addr, choice);
	if (result == SOCK_KNOWN && !is_connect && !kept)
		sock_keep_from_now(ctx, addr, choice);
	return result != SOCK_FULL;
}

INLINE int sock_forward4(struct bpf_sock_addr *ctx, int is_connect)
{
	addr_t addr = addr_from_ipv4(ctx->user_ip4);
	struct lb_choice choice = {};
	int verdict;

	if (!sock_translate(ctx, &addr, is_connect, &choice, &verdict))
		return verdict;
	ctx->user_ip4 = addr_ipv4(&choice.addr);
	ctx->user_port = choice.port;
	return SOCK_ALLOW;
}

INLINE addr_t sock_addr6(const struct bpf_sock_addr *ctx)
{
	return (addr_t){.w = {(__u64)ctx->user_ip6[1] << 32 | ctx->user_ip6[0],
			      (__u64)ctx->user_ip6[3] << 32 | ctx->user_ip6[2]}};
}

INLINE void sock_set_addr6(struct bpf_sock_addr *ctx, const addr_t *addr)
{
	ctx->user_ip6[0] = (__u32)addr->w[0];
	ctx->user_ip6[1] = (__u32)(addr->w[0] >> 32);
	ctx->user_ip6[2] = (__u32)addr->w[1];
	ctx->user_ip6[3] = (__u32)(addr->w[1] >> 32);
}

INLINE int sock_forward6(struct bpf_sock_addr *ctx, int is_connect)
{
	addr_t addr = sock_addr6(ctx);
	struct lb_choice choice = {};
	int verdict;

	if (!sock_translate(ctx, &addr, is_connect, &choice, &verdict))
		return verdict;
	sock_set_addr6(ctx, &choice.addr);
	ctx->user_port = choice.port;
	return SOCK_ALLOW;
}

/* The service behind the backend that the context names; NULL = not translated. */
INLINE struct sock_rev_entry *sock_recall(struct bpf_sock_addr *ctx, const addr_t *addr)
{
	struct sock_rev_key key __attribute__((aligned(8))) = {.port = ctx->user_port};

	if (!sock_is_supported(ctx))
		return 0;
	key.cookie = bpf_get_socket_cookie(ctx);
	*addr_of(key.addr) = *addr;
	return bpf_map_lookup_elem(&fl_sock_rev_1, &key);
}

INLINE int sock_reverse4(struct bpf_sock_addr *ctx)
{
	addr_t addr = addr_from_ipv4(ctx->user_ip4);
	struct sock_rev_entry *entry = sock_recall(ctx, &addr);

	if (entry) {
		ctx->user_ip4 = addr_ipv4(addr_of(entry->addr));
		ctx->user_port = entry->port;
	}
	return SOCK_ALLOW;
}

INLINE int sock_reverse6(struct bpf_sock_addr *ctx)
{
	addr_t addr = sock_addr6(ctx);
	struct sock_rev_entry *entry = sock_recall(ctx, &addr);

	if (entry) {
		sock_set_addr6(ctx, addr_of(entry->addr));
		ctx->user_port = entry->port;
	}
	return SOCK_ALLOW;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *ctx)
{
	return sock_forward4(ctx, 1);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *ctx)
{
	return sock_forward6(ctx, 1);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	return sock_forward4(ctx, 0);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	return sock_forward6(ctx, 0);
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr *ctx)
{
	return sock_reverse4(ctx);
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr *ctx)
{
	return sock_reverse6(ctx);
}

SEC("cgroup/getpeername4")
int sock_getpeername4(struct bpf_sock_addr *ctx)
{
	return sock_reverse4(ctx);
}

SEC("cgroup/getpeername6")
int sock_getpeername6(struct bpf_sock_addr *ctx)
{
	return sock_reverse6(ctx);
}

/* Forgets a connected socket at once; those of unconnected ones age out. */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *sk)
{
	struct sock_rev_key key
		__attribute__((aligned(8))) = {.cookie = bpf_get_socket_cookie(sk), .port = sk->dst_port};
	addr_t addr = sk->family == 2 ? addr_from_ipv4(sk->dst_ip4)
				      : (addr_t){.w = {(__u64)sk->dst_ip6[1] << 32 | sk->dst_ip6[0],
						       (__u64)sk->dst_ip6[3] << 32 | sk->dst_ip6[2]}};

	*addr_of(key.addr) = addr;
	if (key.port)
		bpf_map_delete_elem(&fl_sock_rev_1, &key);
	return SOCK_ALLOW;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
