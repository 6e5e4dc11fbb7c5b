// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Mentions each shared struct and enum once, so that clang keeps it in BTF. The generator in native/abi reads the
 * object made from this file; it is never loaded.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "limits.h"
#include "peer.h"
#include "svc.h"
#include "ct.h"
#include "drop.h"
#include "event.h"
#include "explain.h"
#include "dns.h"
#include "policy.h"
#include "xdp.h"

#define EXPORT_STRUCT(name) struct name abi_##name
#define EXPORT_ENUM(name) enum name abi_enum_##name

EXPORT_STRUCT(peer_ref);
EXPORT_STRUCT(ipcache_key);
EXPORT_STRUCT(cidr_key);
EXPORT_STRUCT(ipcache_entry);
EXPORT_STRUCT(endpoint);
EXPORT_STRUCT(node);
EXPORT_STRUCT(uplink);
EXPORT_STRUCT(svc_key);
EXPORT_STRUCT(svc_entry);
EXPORT_STRUCT(slot_chunk);
EXPORT_STRUCT(backend);
EXPORT_STRUCT(affinity_key);
EXPORT_STRUCT(affinity_entry);
EXPORT_STRUCT(source_key);
EXPORT_STRUCT(sock_rev_key);
EXPORT_STRUCT(sock_rev_entry);
EXPORT_STRUCT(ct4_key);
EXPORT_STRUCT(ct_key);
EXPORT_STRUCT(ct4_entry);
EXPORT_STRUCT(ct_entry);
EXPORT_STRUCT(frag_key);
EXPORT_STRUCT(frag_entry);
EXPORT_STRUCT(drop_counter);
EXPORT_STRUCT(flow_event);
EXPORT_STRUCT(event_bucket);
EXPORT_STRUCT(runtime_state);
EXPORT_STRUCT(resolver_key);
EXPORT_STRUCT(dns_state);
EXPORT_STRUCT(policy_key);
EXPORT_STRUCT(policy_extent);
EXPORT_STRUCT(policy_row);
EXPORT_STRUCT(policy_set);
EXPORT_STRUCT(policy_range);
EXPORT_STRUCT(policy_denied);
EXPORT_STRUCT(explain_flow);
EXPORT_STRUCT(xdp_node);
EXPORT_STRUCT(xdp_service);
EXPORT_STRUCT(dsr_flow);

EXPORT_ENUM(limits);
EXPORT_ENUM(l4_proto);
EXPORT_ENUM(peer_kind);
EXPORT_ENUM(identity);
EXPORT_ENUM(endpoint_flags);
EXPORT_ENUM(node_flags);
EXPORT_ENUM(svc_scope);
EXPORT_ENUM(svc_flags);
EXPORT_ENUM(backend_flags);
EXPORT_ENUM(ct_direction);
EXPORT_ENUM(ct_flags);
EXPORT_ENUM(ct_backend_word);
EXPORT_ENUM(drop_reason);
EXPORT_ENUM(event_type);
EXPORT_ENUM(hook);
EXPORT_ENUM(judged_side);
EXPORT_ENUM(metric);
EXPORT_ENUM(dns_limits);
EXPORT_ENUM(dns_mark);
EXPORT_ENUM(policy_direction);
EXPORT_ENUM(policy_limit);
EXPORT_ENUM(policy_extent_bits);
EXPORT_ENUM(policy_range_first);
EXPORT_ENUM(policy_peer);
EXPORT_ENUM(policy_set_flag);
EXPORT_ENUM(policy_verdict_flag);
EXPORT_ENUM(policy_cookie);
EXPORT_ENUM(explain_stage);
EXPORT_ENUM(explain_flag);
EXPORT_ENUM(north_south);
EXPORT_ENUM(port_bits);
EXPORT_ENUM(xdp_service_kind);
EXPORT_ENUM(xdp_service_limits);
EXPORT_ENUM(xdp_backend_bits);
