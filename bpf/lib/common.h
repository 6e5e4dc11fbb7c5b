/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Words that every program uses: addresses as two 64-bit words, verdicts, kernel constants.
 */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "../maps/config.h"
#include "../maps/maps.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "addresses are compared as little-endian words");

#define INLINE static __attribute__((always_inline)) inline
/*
 * A function that the verifier walks once, by itself, instead of once for each state of each caller. It takes numbers only (pointers to memory
 * need kernel 5.12) and finds the rest in the scratch map.
 */
#define GLOBAL __attribute__((noinline, unused))
#define NOINLINE static __attribute__((noinline, unused)) /* a header's function that a program does not use */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* tcx return codes; the clsact action codes are the same numbers. NEXT lets other programs and the stack see the packet. */
enum verdict {
	VERDICT_NEXT = -1,
	VERDICT_DROP = 2,
};

/* Without the node's own outer address, which kernels before 6.0 do not know: they refuse sizes that are new to them. */
#define TUNNEL_KEY_SIZE (__builtin_offsetof(struct bpf_tunnel_key, local_ipv6))

enum packet_mark {
	MARK_TUNNEL_KEY_SET = 0x0fa10001, /* tells to_overlay not to look the destination up again */
	MARK_FORWARDED = 0x0fa10002,      /* tells from_host_device that the node did not make the packet */
	MARK_EXTERNAL = 0x0fa10003, /* tells from_host_device that a process of the node asks for an external address */
	MARK_DNS_SEEN = DNS_MARK_SEEN,
};

enum eth_types {
	ETH_IPV4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_IPV6 = 0x86dd,
};

enum { LOOPBACK_IFINDEX = 1 }; /* in every network namespace */

enum frame_limits {
	ETH_LEN = 14,
	IPV4_MIN_LEN = 20,
	IPV6_LEN = 40,
	HEADERS_LINEAR = 118, /* bytes that are pulled into the linear part before parsing */
};

/* 16 bytes of an address as two words, in memory order. IPv4 is ::ffff:a.b.c.d. */
typedef struct {
	__u64 w[2];
} __attribute__((may_alias, aligned(8))) addr_t;

/* The upper word of a mapped IPv4 address. `ip` is in memory (network) order. */
INLINE addr_t addr_from_ipv4(__be32 ip)
{
	return (addr_t){.w = {0, ((__u64)ip << 32) | 0xffff0000}};
}

INLINE __be32 addr_ipv4(const addr_t *a)
{
	return (__be32)(a->w[1] >> 32);
}

INLINE int addr_is_ipv4(const addr_t *a)
{
	return a->w[0] == 0 && (__u32)a->w[1] == 0xffff0000;
}

INLINE int addr_equal(const addr_t *a, const addr_t *b)
{
	return a->w[1] == b->w[1] && a->w[0] == b->w[0];
}

INLINE int addr_is_zero(const addr_t *a)
{
	return (a->w[0] | a->w[1]) == 0;
}

/* A constant of maps/config.h as an address. */
INLINE addr_t addr_config(const volatile __u8 *bytes)
{
	const volatile addr_t *a = (const volatile addr_t *)bytes;

	return (addr_t){.w = {a->w[0], a->w[1]}};
}

/* Six bytes in two moves: headers are packed structs, which the compiler would copy byte by byte. */
INLINE void mac_copy(void *to, const void *from)
{
	__u32 head = *(const volatile __u32 *)from;
	__u16 tail = *(const volatile __u16 *)(from + 4);

	*(volatile __u32 *)to = head;
	*(volatile __u16 *)(to + 4) = tail;
}

INLINE int mac_equal(const void *a, const void *b)
{
	return *(const volatile __u32 *)a == *(const volatile __u32 *)b &&
	       *(const volatile __u16 *)(a + 4) == *(const volatile __u16 *)(b + 4);
}

struct mac {
	__u8 bytes[6];
};

/* A MAC of maps/config.h. Without volatile the compiler would take the zeros of the source for the value. */
INLINE struct mac mac_config(const volatile __u8 *bytes)
{
	struct mac mac;

	for (int i = 0; i < 6; i++)
		mac.bytes[i] = bytes[i];
	return mac;
}

INLINE addr_t *addr_of(void *bytes)
{
	return (addr_t *)bytes;
}

INLINE __u32 jiffies32(void)
{
	return (__u32)bpf_jiffies64();
}

INLINE void count(enum metric metric)
{
	__u32 key = metric;
	__u64 *value = bpf_map_lookup_elem(&fl_metrics_1, &key);

	if (value)
		(*value)++;
}
