//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the datapath is measured against: a program that does nothing, and one
 * that does the least that a flow table could do. The cycler changes each frame
 * and then runs the measured program, so that no address stays hot.
 */
#include "frame.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} measured SEC(".maps");

struct tuple {
	struct addr src, dst;
	__be16 sport, dport;
	__u32 protocol;
};

struct counters {
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct tuple);
	__type(value, struct counters);
	__uint(max_entries, MAX_FLOWS);
} tuples SEC(".maps");

__u32 turn;
const volatile __u32 addresses = 4096; /* a power of two */
const volatile __u32 fresh_ports; /* 1: a new source port each time round */

/* IPv4 over Ethernet: the destination cycles, and on demand the source port. */
SEC("tcx/ingress")
int cycler(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 n = turn++;

	if (data + 38 > end)
		return TCX_NEXT;
	*(__be32 *)(data + 30) = bpf_htonl(0x0a400000 + (n & (addresses - 1)));
	if (fresh_ports)
		*(__be16 *)(data + 34) = bpf_htons(1024 + n / addresses % 60000);
	bpf_tail_call(skb, &measured, 0);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int nop(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

SEC("tcx/ingress")
int lru(struct __sk_buff *skb)
{
	struct frame f = {};
	struct tuple t = {};
	struct counters *c, first = { 1, skb->len };

	parse_frame(skb, &f);
	if (f.kind != KIND_FLOW)
		return TCX_NEXT;
	t.src = f.src;
	t.dst = f.dst;
	t.sport = f.sport;
	t.dport = f.dport;
	t.protocol = f.protocol;
	c = bpf_map_lookup_elem(&tuples, &t);
	if (c) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, skb->len);
	} else {
		bpf_map_update_elem(&tuples, &t, &first, BPF_ANY);
	}
	return TCX_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
