/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One frame at a pod's door: whose it is, and whether it bears the pod's own
 * addresses.
 */
#ifndef SLUICE_VISIT_H
#define SLUICE_VISIT_H

#include "flow.h"

enum odd { ODD_FRAGMENT, ODD_MALFORMED, ODD_OTHER, ODD_UNTRACKED, ODD_SPOOFED };

/* skb->tc_index tells the point after DNAT whose frame this is. */
#define STAMP_DEFERRED 0x8000

/* The pod behind this door and what is known of the frame's flow. */
struct visit {
	struct frame frame;
	__u64 now;
	__u64 mac; /* the frame's source */
	__u64 own_mac; /* the pod's; 0: not known */
	struct assignment rules;
	struct flow_key key;
	__u32 slot;
	__u32 len;
	__s32 nsid; /* of the pod's network namespace */
	__u8 direction;
	bool absent; /* the flow table has nothing of it */
	__u8 _pad[6];
};

/* The visit under way, too large for the stack, as a draft is. */
ARRAY(visits, BPF_MAP_TYPE_PERCPU_ARRAY, struct visit, 1);

/*
 * Was this frame made on the node, outside pods? Such a one came in by no interface;
 * but neither did what the kernel has put together and split again on its way, which
 * has no socket.
 */
static __always_inline bool made_here(struct __sk_buff *skb, const struct frame *f)
{
	return !skb->ingress_ifindex && (!f->split || skb->sk);
}

/* Do established connections outlive a change of rules? */
static __always_inline bool keeps(void)
{
	__u32 zero = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	return n && n->keep;
}

/* A frame that policy denies; while enforcement is off it passes, and is counted. */
static __always_inline int drop(__u8 reason)
{
	if (!enforcing()) {
		count(&spared, reason);
		return TCX_NEXT;
	}
	count(&drops, reason);
	return TCX_DROP;
}

static __always_inline int pass(struct __sk_buff *skb, __u8 direction, __u32 slot, __u8 flags)
{
	if (direction == EGRESS)
		skb->tc_index = (slot + 1) | (flags & FLOW_DEFERRED ? STAMP_DEFERRED : 0);
	return TCX_NEXT;
}

static __always_inline __u64 source_mac(struct __sk_buff *skb)
{
	__u8 *eth = (void *)(long)skb->data;

	if ((void *)(eth + ETH_HLEN) > (void *)(long)skb->data_end)
		return 0;
	return *(__u32 *)(eth + ETH_ALEN) | (__u64) * (__u16 *)(eth + ETH_ALEN + 4) << 32;
}

#define DHCP_CLIENT 68
#define DHCP_SERVER 67

/* Is it a SLAAC address of this MAC (RFC 4291, appendix A)? */
static __always_inline bool is_of_mac(const struct addr *a, __u64 mac)
{
	return mac && !is_v4(a) && !is_multicast(a) && a->w[2] == (((__u32)mac & 0xffffff) ^ 2) + 0xff000000 &&
	       a->w[3] == (((__u32)(mac >> 24) & 0xffffff) << 8) + 0xfe;
}

/* An address that the pod has by itself. */
static __always_inline bool inborn(const struct visit *v, const struct addr *a)
{
	__u32 *slot = bpf_map_lookup_elem(&owners, a);

	if (slot && *slot == v->slot)
		return true;
	if (is_link_local(a)) /* whose it is cannot be told, but for the node's */
		return !bpf_map_lookup_elem(&node_addrs, a);
	return is_of_mac(a, v->own_mac);
}

/* An address that the pod has by itself or is allowed to bear. */
static __always_inline bool owns(const struct visit *v, const struct addr *a)
{
	struct source s = { .len = 160, .pod = v->rules.pod, .addr = *a };

	return inborn(v, a) || bpf_map_lookup_elem(&sources, &s);
}

/* A frame without a source of its own yet: DHCP, and what IPv6 asks before it has one. */
static __always_inline bool is_nascent(const struct visit *v)
{
	const struct frame *f = &v->frame;

	if (!is_unspecified(&v->key.pod))
		return false;
	if (f->kind == KIND_LINK)
		return true;
	return is_v4(&v->key.pod) && f->protocol == IPPROTO_UDP && f->sport == bpf_htons(DHCP_CLIENT) &&
	       f->dport == bpf_htons(DHCP_SERVER);
}

/* Is the pod's side of the frame an address of this pod? */
static __always_inline bool own(const struct visit *v)
{
	if (owns(v, &v->key.pod))
		return true;
	return v->direction == EGRESS ? is_nascent(v) : is_multicast(&v->key.pod);
}

/*
 * Does a frame that is not the pod's own pass all the same? Sources are checked as
 * antiSpoofing says; what is for another pod never enters this one.
 */
static __always_inline bool tolerated(const struct visit *v)
{
	__u32 zero = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	if (v->direction != EGRESS || !n || n->anti_spoofing == SPOOF_ENFORCE)
		return false;
	if (n->anti_spoofing == SPOOF_AUDIT)
		count(&oddities, ODD_SPOOFED);
	return true;
}

/* Does a frame of a flow that bore a foreign address still pass? */
static __always_inline bool still_tolerated(__u32 pod, const struct addr *a)
{
	struct source s = { .len = 160, .pod = pod, .addr = *a };
	__u32 zero = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	return (n && n->anti_spoofing != SPOOF_ENFORCE) || bpf_map_lookup_elem(&sources, &s);
}

/* What ARP for IPv4 on Ethernet begins with; with other sizes it is laid out otherwise. */
#define ARP_ETHER_IPV4 0x00010800
#define ARP_SIZES 0x0604

/* ARP, from the pod: its own address and MAC, or a probe. */
static __always_inline bool honest_arp(struct __sk_buff *skb, const struct visit *v)
{
	__u8 b[28]; /* RFC 826, Ethernet and IPv4 */
	struct addr sender;
	__u64 mac;

	if (bpf_skb_load_bytes(skb, v->frame.at, b, sizeof(b)) || *(__be32 *)b != bpf_htonl(ARP_ETHER_IPV4) ||
	    *(__be16 *)(b + 4) != bpf_htons(ARP_SIZES))
		return false;
	mac = *(__u16 *)(b + 8) | (__u64) * (__u16 *)(b + 10) << 16 | (__u64) * (__u16 *)(b + 12) << 32;
	map_v4(&sender, *(__u16 *)(b + 14) | (__u32) * (__u16 *)(b + 16) << 16);
	return (!v->own_mac || mac == v->own_mac) && (is_unspecified(&sender) || owns(v, &sender));
}

/* Neighbour discovery, from the pod: only for what is its own, wherever it is sent. */
static __always_inline bool honest_nd(struct __sk_buff *skb, const struct visit *v)
{
	const struct frame *f = &v->frame;
	struct addr target;

	if (!own(v) || f->link_type == ND_ROUTER_ADVERT || f->link_type == ND_LAST)
		return false;
	if (f->link_type != ND_ADVERT)
		return true;
	return !bpf_skb_load_bytes(skb, f->at + 8, &target, sizeof(target)) && owns(v, &target);
}

#endif
