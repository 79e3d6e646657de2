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
#include "decide.h"
#include "fragment.h"

static __always_inline bool opens(const struct frame *f)
{
	return f->protocol == IPPROTO_TCP && (f->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* No data, no SYN: RSTs, and ACKs of TIME_WAIT, come from sockets of the kernel's. */
static __always_inline bool bare(const struct frame *f)
{
	return f->protocol == IPPROTO_TCP && !(f->tcp_flags & TCP_SYN) && f->end - f->at == f->tcp_words * 4;
}

static __always_inline void set_key(struct flow_key *k, const struct frame *f, __u32 ifindex, __u8 direction)
{
	k->ifindex = ifindex;
	k->protocol = f->protocol;
	if (direction == EGRESS) {
		k->pod = f->src;
		k->peer = f->dst;
		k->pod_port = f->sport;
		k->peer_port = f->dport;
	} else {
		k->pod = f->dst;
		k->peer = f->src;
		k->pod_port = f->dport;
		k->peer_port = f->sport;
	}
}

/* Follows TCP far enough to know when a flow is answered and when it is over. */
static __always_inline bool follow(struct flow *flow, const struct frame *f, __u8 direction)
{
	bool answer = direction != flow->direction;
	__u8 fin = FLOW_FIN_OUT | FLOW_FIN_IN;

	if (f->protocol == IPPROTO_TCP && flow->state != FLOW_CLOSING) {
		if (f->tcp_flags & TCP_FIN)
			flow->flags |= answer ? FLOW_FIN_IN : FLOW_FIN_OUT;
		if (f->tcp_flags & TCP_RST || (flow->flags & fin) == fin)
			return move_flow(flow, f->protocol, FLOW_CLOSING);
	}
	if (flow->state != FLOW_HALF)
		return true;
	if (f->protocol != IPPROTO_TCP)
		return !answer || move_flow(flow, f->protocol, FLOW_OPEN);
	if (answer)
		flow->flags |= FLOW_ANSWERED;
	else if (flow->flags & FLOW_ANSWERED && (f->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)
		return move_flow(flow, f->protocol, FLOW_OPEN); /* both ends are there */
	return true;
}

/* Does the frame begin a connection of its own? Two ends may open one at a time. */
static __always_inline bool anew(const struct flow *flow, const struct frame *f, __u8 direction)
{
	if (!opens(f))
		return false;
	return flow->state != FLOW_HALF || (direction != flow->direction && flow->flags & FLOW_ANSWERED);
}

enum { MISS = -2 };

/* The verdict that the table holds for this frame, MISS if it must be judged. */
static __always_inline int known(struct __sk_buff *skb, struct flow *flow, const struct frame *f, __u64 now, __u64 mac,
				 __u8 direction)
{
	__u32 slot = flow->slot;
	struct assignment *r = bpf_map_lookup_elem(&rules, &slot);

	if (!r || *(__u64 *)r != *(__u64 *)&flow->judged || expired(flow, now))
		return MISS;
	if (flow->cookie && direction == EGRESS && !bare(f) && bpf_get_socket_cookie(skb) != flow->cookie)
		return MISS;
	if (direction == EGRESS && flow->mac && flow->mac != mac)
		return MISS;
	if (flow->verdict == VERDICT_DENIED) {
		if (direction != flow->direction && (flow->reason != REASON_RECHECK || opens(f)) && enforcing())
			return MISS;
		/* A denial is asked for again in time, a connection that was cut is not. */
		account(flow, flow->reason == REASON_RECHECK && f->protocol == IPPROTO_TCP ? now : flow->seen, skb->len,
			direction);
		return drop(flow->reason);
	}
	if (anew(flow, f, direction))
		return MISS;
	if (direction == EGRESS && flow->flags & FLOW_FOREIGN && !still_tolerated(flow->judged.pod, &f->src))
		return MISS;
	follow(flow, f, direction); /* where the quota is full it stays half open */
	lengthen(flow, f->protocol);
	if (direction == EGRESS && flow->direction == INGRESS && !(flow->flags & FLOW_NAMED) &&
	    read_stamp(skb, &flow->process))
		flow->flags |= FLOW_NAMED;
	account(flow, now, skb->len, direction);
	return pass(skb, direction, slot, flow->flags);
}

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

static __always_inline void begin(const struct visit *v, struct flow *flow)
{
	flow->judged = v->rules;
	flow->mac = v->own_mac;
	flow->slot = v->slot;
	flow->direction = v->direction;
	flow->start = bpf_ktime_get_boot_ns();
	flow->state = FLOW_HALF;
}

/*
 * Enters a judged flow, reports it, and gives the frame's verdict. A denial that is
 * not entered is counted as a drop and no more: there may be one for each frame.
 */
static __always_inline int conclude(struct __sk_buff *skb, const struct visit *v, struct flow *flow, bool keep)
{
	bool denied = flow->verdict == VERDICT_DENIED, kept;

	flow->state = denied ? FLOW_DENIED : flow->state;
	flow->ttl = ttl_of(v->key.protocol, flow->state);
	if (flow->reason == REASON_RECHECK && v->key.protocol == IPPROTO_TCP)
		flow->ttl = ttls[TTL_TCP_OPEN]; /* as long as its ends may try again */
	flow->seen = v->now;
	flow->packets[v->direction & 1] += 1;
	flow->bytes[v->direction & 1] += v->len;
	kept = keep && put_flow(&v->key, flow);
	if (denied && !kept)
		return drop(flow->reason);
	if (!kept) {
		if (flow->reason == REASON_NO_POLICY || flow->reason == REASON_EXEMPT) {
			count(&oddities, ODD_UNTRACKED);
			return pass(skb, v->direction, v->slot, flow->flags);
		}
		return drop(REASON_TABLE_FULL);
	}
	if (flow->flags & FLOW_DEFERRED) /* counted and told where it is judged */
		return pass(skb, v->direction, v->slot, flow->flags);
	total(flow->verdict, flow->direction, flow->reason);
	emit_flow(&v->key, flow, denied ? PHASE_DENIED : PHASE_NEW);
	return denied ? drop(flow->reason) : pass(skb, v->direction, v->slot, flow->flags);
}

/* Do established connections outlive a change of rules? */
static __always_inline bool keeps(void)
{
	__u32 zero = 0;
	struct node *n = bpf_map_lookup_elem(&settings, &zero);

	return n && n->keep;
}

/* A flow that the table knows, under rules that have changed since. */
static __always_inline int recheck(struct __sk_buff *skb, const struct visit *v, const struct flow *was,
				   struct flow *flow)
{
	bool by_process;
	__u8 flags;

	if (v->direction == INGRESS && was->judged.ruleset == RULESET_STALE)
		return TCX_NEXT; /* another program has the socket: the pod's next frame tells */
	*flow = *was;
	flow->judged = v->rules;
	if ((was->reason == REASON_EXEMPT && was->direction == INGRESS) || (keeps() && was->state == FLOW_OPEN)) {
		put_flow(&v->key, flow);
		return pass(skb, v->direction, v->slot, flow->flags);
	}
	if (v->direction == EGRESS && (skb->sk || flow->direction == EGRESS)) {
		__builtin_memset(&flow->process, 0, sizeof(flow->process));
		read_stamp(skb, &flow->process); /* who sends now, not who began */
	}
	if (v->direction == EGRESS && !own(v) && !tolerated(v)) {
		flow->verdict = VERDICT_DENIED;
		flow->reason = REASON_SPOOFED;
		return conclude(skb, v, flow, true);
	}
	by_process = decide(skb, v, flow);
	if (flow->verdict == VERDICT_DENIED) {
		flow->reason = REASON_RECHECK;
		flow->rule = 0;
		return conclude(skb, v, flow, true);
	}
	if (v->direction != EGRESS) {
		if (by_process && !was->cookie)
			return TCX_NEXT; /* the pod's next frame tells the socket */
		flow->cookie = was->cookie;
	}
	flow->seen = v->now;
	flow->packets[v->direction & 1] += 1;
	flow->bytes[v->direction & 1] += v->len;
	put_flow(&v->key, flow);
	flags = flow->flags;
	flow = bpf_map_lookup_elem(&flows, &v->key);
	if (flow)
		follow(flow, &v->frame, v->direction);
	return pass(skb, v->direction, v->slot, flags);
}

static __always_inline int judge_frame(struct __sk_buff *skb, struct visit *v)
{
	struct flow *was = bpf_map_lookup_elem(&flows, &v->key);
	__u32 zero = 0;
	struct flow *flow = bpf_map_lookup_elem(&drafts, &zero);
	bool keep = true;

	if (!flow)
		return drop(REASON_TABLE_FULL);
	__builtin_memset(flow, 0, sizeof(*flow));
	if (was && (expired(was, v->now) || was->judged.pod != v->rules.pod))
		was = 0;
	if (was && was->verdict != VERDICT_DENIED && anew(was, &v->frame, v->direction)) {
		keep = was->state == FLOW_CLOSING; /* if it is denied, what stands goes on */
	} else if (was && was->verdict != VERDICT_DENIED) {
		if (was->judged.ruleset != v->rules.ruleset)
			return recheck(skb, v, was, flow);
		/* Another socket speaks under this flow's name; the later point is told. */
		keep = was->flags & FLOW_DEFERRED;
	}
	begin(v, flow);
	if (!own(v)) {
		flow->verdict = VERDICT_DENIED;
		flow->reason = REASON_SPOOFED;
		if (!tolerated(v))
			return conclude(skb, v, flow, keep && v->direction == EGRESS);
		flow->flags |= FLOW_FOREIGN;
	} else if (v->direction == EGRESS && !inborn(v, &v->key.pod) && !is_nascent(v)) {
		flow->flags |= FLOW_FOREIGN;
	}
	if (v->direction == EGRESS && read_stamp(skb, &flow->process))
		flow->flags |= FLOW_NAMED;
	if (v->direction == INGRESS && !skb->ingress_ifindex) {
		flow->verdict = VERDICT_ALLOWED; /* made on this node, outside pods: probes */
		flow->reason = REASON_EXEMPT;
	} else {
		decide(skb, v, flow);
	}
	if (was && was->verdict == VERDICT_DENIED && was->reason == REASON_RECHECK && flow->verdict != VERDICT_DENIED &&
	    was->direction != v->direction && !opens(&v->frame))
		return drop(REASON_RECHECK);
	return conclude(skb, v, flow, keep || flow->verdict != VERDICT_DENIED);
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
	bool of_node = v->direction == INGRESS && !skb->ingress_ifindex;

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

	if (v->frame.kind == KIND_FLOW && !v->frame.link_type && !v->frame.tagged) {
		set_key(&v->key, &v->frame, skb->ifindex, v->direction);
		flow = bpf_map_lookup_elem(&flows, &v->key);
		verdict = flow ? known(skb, flow, &v->frame, v->now, v->mac, v->direction) : MISS;
		if (verdict != MISS)
			return verdict;
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
	__builtin_memset(v, 0, sizeof(*v));
	v->direction = direction;
	v->len = skb->len;
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
	if (bpf_map_lookup_elem(&departed, &k->peer))
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
