//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pod door: TCX on the host side of a pod's veth, both ways. Sees every
 * frame of the pod, holds connection state and cannot be bypassed from inside.
 *
 * Hooks: tcx ingress (from the pod), tcx egress (to the pod).
 * Fails closed where a policy isolates the direction, open elsewhere; what it
 * allows is TCX_NEXT, so that other programs on the hook keep their say.
 */
#include "fragment.h"
#include "verdict.h"

/* An ICMP error passes if it speaks of a flow that passes. Global, for its stack. */
__noinline int related(const struct visit *v)
{
	struct flow_key k = {};
	const struct frame *f;
	struct flow *flow;

	if (!v)
		return 0;
	f = &v->frame;
	k.ifindex = v->key.ifindex;
	k.protocol = f->inner_protocol;

	if (!own(v) || !same_addr(&f->dst, &f->inner_src)) /* an error goes to the sender */
		return 0;
	if (v->direction == INGRESS) { /* the quoted frame left the pod */
		k.pod = f->inner_src;
		k.pod_port = f->inner_sport;
		k.peer = f->inner_dst;
		k.peer_port = f->inner_dport;
	} else {
		k.pod = f->inner_dst;
		k.pod_port = f->inner_dport;
		k.peer = f->inner_src;
		k.peer_port = f->inner_sport;
	}
	flow = bpf_map_lookup_elem(&flows, &k);
	return flow && flow->verdict != VERDICT_DENIED && !expired(flow, v->now) &&
	       *(__u64 *)&flow->judged == *(__u64 *)&v->rules;
}

/* A frame without ports or addresses to judge by. */
static __always_inline int odd(const struct visit *v, enum odd what, __u8 reason)
{
	if (isolated(v->rules, v->direction))
		return drop(v->rules.ruleset == RULESET_CLOSED ? REASON_CLOSED : reason);
	count(&oddities, what);
	return TCX_NEXT;
}

/* A later fragment goes where its first one went. */
static __always_inline int follow_first(const struct visit *v)
{
	return first_passed(v) ? TCX_NEXT : odd(v, ODD_FRAGMENT, REASON_FRAGMENT);
}

/* Does a frame without ports bear foreign addresses, or hide what only a router says? */
static __always_inline bool deceives(const struct visit *v)
{
	const struct frame *f = &v->frame;
	bool read = v->key.pod.w[0] | v->key.pod.w[1] | v->key.pod.w[2] | v->key.pod.w[3];

	if (f->kind != KIND_FRAGMENT && f->kind != KIND_MALFORMED)
		return false;
	if (f->kind == KIND_MALFORMED && v->direction == EGRESS && f->hops == 255)
		return true;
	return read && !own(v);
}

static __always_inline int visit_kind(struct __sk_buff *skb, struct visit *v)
{
	const struct frame *f = &v->frame;
	bool of_node = v->direction == INGRESS && made_here(skb, f);

	if (f->kind == KIND_SPOOFED || (f->link_type == ND_LAST && v->direction == INGRESS))
		return of_node ? TCX_NEXT : drop(REASON_SPOOFED);
	if (v->direction == EGRESS && f->link_type && !honest_nd(skb, v) && !tolerated(v))
		return drop(REASON_SPOOFED);
	if (v->direction == EGRESS && f->kind == KIND_LINK && !f->link_type && !honest_arp(skb, v) && !tolerated(v))
		return drop(REASON_SPOOFED);
	if (deceives(v) && !tolerated(v))
		return drop(REASON_SPOOFED);
	if (f->tagged) {
		if (f->kind == KIND_FLOW && !own(v) && !tolerated(v))
			return drop(REASON_SPOOFED);
		return odd(v, ODD_OTHER, REASON_MALFORMED);
	}
	switch (f->kind) {
	case KIND_LINK:
		return TCX_NEXT;
	case KIND_FRAGMENT:
		return follow_first(v);
	case KIND_MALFORMED:
		return odd(v, ODD_MALFORMED, REASON_MALFORMED);
	case KIND_OTHER:
		return odd(v, ODD_OTHER, REASON_MALFORMED);
	case KIND_ERROR:
		if (related(v))
			return TCX_NEXT;
	}
	return judge_frame(skb, v);
}

/* Global, see parse_frame. */
__noinline int visit(struct __sk_buff *skb, struct visit *v)
{
	__u32 ifindex = skb->ifindex;
	struct doorway *d = bpf_map_lookup_elem(&doors, &ifindex);
	struct assignment *r;

	if (!d || !v)
		return drop(REASON_CLOSED);
	v->slot = d->slot;
	v->own_mac = d->mac;
	v->nsid = d->nsid;
	r = bpf_map_lookup_elem(&rules, &v->slot);
	if (!r)
		return drop(REASON_CLOSED);
	*(__u64 *)&v->rules = *(volatile __u64 *)r;
	set_key(&v->key, &v->frame, ifindex, v->direction);
	if (v->direction == EGRESS && v->own_mac && v->mac != v->own_mac && !tolerated(v))
		return drop(REASON_SPOOFED);
	return visit_kind(skb, v);
}

/* What the table or, failing that, the rules say of a frame. */
static __always_inline int verdict_of(struct __sk_buff *skb, struct visit *v)
{
	struct flow *flow;
	int verdict;

	v->absent = false;
	if (v->frame.kind == KIND_FLOW && !v->frame.link_type && !v->frame.tagged) {
		set_key(&v->key, &v->frame, skb->ifindex, v->direction);
		flow = bpf_map_lookup_elem(&flows, &v->key);
		verdict = flow ? known(skb, flow, &v->frame, v->now, v->mac, v->direction) : MISS;
		if (verdict != MISS)
			return verdict;
		v->absent = !flow;
	}
	return visit(skb, v);
}

static __always_inline int door(struct __sk_buff *skb, __u8 direction)
{
	__u32 zero = 0;
	struct visit *v = bpf_map_lookup_elem(&visits, &zero);
	int verdict;

	if (!v)
		return drop(REASON_TABLE_FULL);
	/* The rest is written before it is read. */
	__builtin_memset(&v->frame.protocol, 0, offsetof(struct frame, datagram) - offsetof(struct frame, protocol));
	v->direction = direction;
	v->len = skb->len;
	if (direction == EGRESS)
		skb->tc_index = 0; /* a pod may have written what pass() says */
	if (!parse_usual(skb, &v->frame))
		parse_frame(skb, &v->frame);
	v->now = bpf_ktime_get_coarse_ns();
	v->mac = direction == EGRESS ? source_mac(skb) : 0;
	verdict = verdict_of(skb, v);
	if (v->frame.more && v->frame.kind == KIND_FLOW)
		note_fragment(skb->ifindex, v, verdict == TCX_NEXT);
	return verdict;
}

SEC("tcx/ingress")
int door_out(struct __sk_buff *skb)
{
	return door(skb, EGRESS);
}

SEC("tcx/egress")
int door_in(struct __sk_buff *skb)
{
	return door(skb, INGRESS);
}

static long depart(void *map, const struct flow_key *k, struct flow *f, void *ctx)
{
	struct addr behind = f->behind.addr;

	if (bpf_map_lookup_elem(&departed, &k->peer) || bpf_map_lookup_elem(&departed, &behind))
		f->judged.ruleset = RULESET_MOVED;
	return 0;
}

/* Run by the agent: flows whose peer's address is in departed are judged anew. */
SEC("tc")
int door_depart(struct __sk_buff *skb)
{
	bpf_for_each_map_elem(&flows, depart, 0, 0);
	return 0;
}

/* Run once by the loader. */
SEC("tc")
int door_start(struct __sk_buff *skb)
{
	return start_reaper();
}

char _license[] SEC("license") = "Dual BSD/GPL";
