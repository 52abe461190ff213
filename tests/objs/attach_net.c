/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs for devices, network namespaces, sockets and routes that count how often they run: do_NAME in seen_NAME.
 * Each is there twice, as do_NAME and do_NAME_other, to be put in the other's place. Expected: a recent kernel loads
 * them; lwt_seg6local and lirc_mode2, which are often not configured, have to be asked for.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define COUNTING(name, section, result)                                \
	u64 seen_##name, seen_##name##_other;                          \
	SEC(section) int do_##name(void *ctx)                          \
	{                                                              \
		__sync_fetch_and_add(&seen_##name, 1);                 \
		return result;                                         \
	}                                                              \
	SEC(section) int do_##name##_other(void *ctx)                  \
	{                                                              \
		__sync_fetch_and_add(&seen_##name##_other, 1);         \
		return result;                                         \
	}

/* The map types of enum bpf_map_type for sockets, devices and processors. */
enum {
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_SOCKHASH = 18,
};

enum {
	XDP_PASS = 2,
	TC_ACT_OK = 0,
	TC_NEXT = -1, /* TCX_NEXT and NETKIT_NEXT: the program behind this one decides */
	NF_ACCEPT = 1,
	SK_PASS = 1,
	BPF_OK = 0,
};

COUNTING(xdp, "xdp", XDP_PASS)
COUNTING(xdp_devmap, "xdp/devmap", XDP_PASS)
COUNTING(xdp_cpumap, "xdp/cpumap", XDP_PASS)
COUNTING(tc, "tc", TC_NEXT)
COUNTING(tcx_ingress, "tcx/ingress", TC_NEXT)
COUNTING(tcx_egress, "tcx/egress", TC_NEXT)
COUNTING(netkit_primary, "netkit/primary", TC_NEXT)
COUNTING(netkit_peer, "netkit/peer", TC_NEXT)
COUNTING(action, "action", TC_ACT_OK)
COUNTING(netfilter, "netfilter", NF_ACCEPT)
COUNTING(sk_lookup, "sk_lookup", SK_PASS)
COUNTING(flow_dissector, "flow_dissector", BPF_OK)
/* The first member of a context of this type is the packet's length: all of it is one message. */
COUNTING(stream_parser, "sk_skb/stream_parser", *(u32 *)ctx)
COUNTING(stream_verdict, "sk_skb/stream_verdict", SK_PASS)
COUNTING(verdict, "sk_skb/verdict", SK_PASS)
COUNTING(sk_msg, "sk_msg", SK_PASS)
COUNTING(socket_filter, "socket", -1)
COUNTING(reuseport, "sk_reuseport", SK_PASS)
COUNTING(lwt_in, "lwt_in", BPF_OK)
COUNTING(lwt_out, "lwt_out", BPF_OK)
COUNTING(lwt_xmit, "lwt_xmit", BPF_OK)
COUNTING(lwt_seg6local, "?lwt_seg6local", BPF_OK)
COUNTING(lirc, "?lirc_mode2", 0)

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u32);
} sockets_by_key SEC(".maps");

/* struct bpf_devmap_val and struct bpf_cpumap_val: where to, and a program. */
struct target {
	u32 number;
	s32 program;
};

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct target);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct target);
} processors SEC(".maps");

/* Its values have no room for a program. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} plain_devices SEC(".maps");

SEC("xdp")
int to_device(void *ctx)
{
	return bpf_redirect_map(&devices, 0, XDP_PASS);
}

SEC("xdp")
int to_processor(void *ctx)
{
	return bpf_redirect_map(&processors, 0, XDP_PASS);
}
