// Kernel constants that are newer than the distribution's headers (6.1). The numbers are kernel ABI and never change.
#pragma once

#include <linux/bpf.h>

#include <cstdint>

namespace fairlead::abi
{

inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46); // BPF_TCX_INGRESS, since 6.6
inline constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);  // BPF_TCX_EGRESS, since 6.6
inline constexpr uint32_t kLinkTypeCgroup = 3;
inline constexpr uint32_t kLinkTypeXdp = 6;
inline constexpr uint32_t kLinkTypeTcx = 11;
inline constexpr uint32_t kLinkTypeNetkit = 13;

/// struct bpf_link_info as far as the addon reads it; xdp, tcx and netkit all start with the interface index.
struct LinkInfo {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t pad;
	union {
		struct {
			uint32_t ifindex;
			uint32_t attach_type;
		} device;
		struct {
			uint64_t cgroup_id;
			uint32_t attach_type;
		} cgroup;
		uint8_t space[64];
	};
};

} // namespace fairlead::abi
