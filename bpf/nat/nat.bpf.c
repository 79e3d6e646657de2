//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The point after DNAT: judges what a pod of this node sends to a Service by the
 * backend that was chosen for it, whether or not the door knew a Service there.
 *
 * Hook: netfilter PREROUTING, just after DNAT, IPv4 and IPv6; before that point the
 * backend is not chosen, and POSTROUTING would miss backends on the node itself.
 * Whose frame it is tells the door's stamp in skb->tc_index; replies are skipped.
 * Denies what the door deferred and nothing here allows.
 */
#include "conntrack.h"
#include "visit.h"

#define NF_DROP 0
#define NF_ACCEPT 1

static __always_inline int refuse(__u8 reason)
{
	return drop(reason) == TCX_NEXT ? NF_ACCEPT : NF_DROP;
}

/* One packet that a pod sent, as connection tracking sees it. */
struct passage {
	struct flow_key key; /* as the door saw it: before DNAT */
	struct addr to; /* after it */
	struct assignment rules;
	__u32 slot;
	__be16 port;
	__u8 deferred;
	__u8 translated;
};

static __always_inline void read_tuples(struct passage *p, const struct nf_conn *ct)
{
	const struct nf_conntrack_tuple *out = &ct->tuplehash[0].tuple, *back = &ct->tuplehash[1].tuple;
	__u16 family = out->src.l3num;

	read_addr(&p->key.pod, &out->src.u3, family);
	read_addr(&p->key.peer, &out->dst.u3, family);
	p->key.protocol = out->dst.protonum;
	p->key.pod_port = out->src.u.all;
	p->key.peer_port = out->dst.u.all;
	read_addr(&p->to, &back->src.u3, family); /* what answers is what was chosen */
	p->port = back->src.u.all;
	p->translated = (ct->status & IPS_DST_NAT) != 0;
	if (p->key.protocol == IPPROTO_ICMP || p->key.protocol == IPPROTO_ICMP6) {
		p->key.peer_port = bpf_htons(out->dst.u.all & 0xff); /* the type, as in frame.h */
		p->port = 0;
	}
}

/* What the rules say of the backend, asked anew when they or it have changed. */
static __always_inline int judge_backend(const struct passage *p, struct flow *flow)
{
	struct question q = {
		.peer = p->to,
		.rules = p->rules,
		.layers = ALL_LAYERS,
		.port = bpf_ntohs(p->port),
		.protocol = p->key.protocol,
		.direction = EGRESS,
	};
	struct answer a = {};

	if (flow) {
		set_process(&q, &flow->process);
		if (same_addr(&flow->behind.addr, &p->to)) /* not a backend chosen just now */
			q.since = flow->start;
	}
	judge(&q, &a);
	if (!flow) {
		total(a.verdict, EGRESS, a.reason);
		return a.verdict;
	}
	flow->behind.known = 0;
	barrier();
	flow->behind.addr = p->to;
	flow->behind.port = p->port;
	flow->behind.judged = p->rules;
	flow->behind.verdict = a.verdict;
	barrier();
	flow->behind.known = 1;
	flow->reason = a.reason;
	flow->rule = a.rule;
	flow->layer = a.layer;
	return a.verdict;
}

static __always_inline bool remembered(const struct passage *p, const struct flow *f)
{
	if (f->behind.port != p->port || !same_addr(&f->behind.addr, &p->to) || f->behind.judged.pod != p->rules.pod)
		return false;
	if (f->state == FLOW_OPEN && f->behind.verdict != VERDICT_DENIED && keeps())
		return true;
	return f->behind.known && f->behind.judged.ruleset == p->rules.ruleset;
}

/* Tells of a verdict as the flow's, which the door has allowed. */
static __always_inline void tell(const struct passage *p, const struct flow *flow, __u8 verdict)
{
	__u32 zero = 0;
	struct flow *draft = bpf_map_lookup_elem(&drafts, &zero);

	total(verdict, EGRESS, flow->reason);
	if (!draft)
		return;
	*draft = *flow;
	draft->verdict = verdict;
	emit_flow(&p->key, draft, verdict == VERDICT_DENIED ? PHASE_DENIED : PHASE_NEW);
}

static __always_inline int decide(struct passage *p, const struct pod *pod)
{
	struct flow *flow = flow_of(pod, &p->key);
	__u8 verdict;

	if (flow && flow->direction != EGRESS)
		flow = 0;
	if (flow && remembered(p, flow)) {
		verdict = flow->behind.verdict;
	} else {
		verdict = judge_backend(p, flow);
		if (flow)
			tell(p, flow, verdict);
	}
	if (verdict != VERDICT_DENIED)
		return NF_ACCEPT;
	return refuse(flow ? flow->reason : REASON_DEFAULT_DENY);
}

/* Global, see parse_ip in frame.h. */
__noinline int pass_through(struct passage *p)
{
	__u32 slot;
	struct assignment *r;
	struct pod *pod;

	if (!p)
		return NF_ACCEPT;
	slot = p->slot;
	r = bpf_map_lookup_elem(&rules, &slot);
	pod = bpf_map_lookup_elem(&pods, &slot);
	if (!r || !pod)
		return NF_DROP;
	*(__u64 *)&p->rules = *(volatile __u64 *)r;
	if (p->rules.ruleset == RULESET_OPEN)
		return NF_ACCEPT;
	return decide(p, pod);
}

static __always_inline int after_dnat(struct sk_buff *skb)
{
	__u16 stamp = skb->tc_index;
	struct passage p = {};
	struct nf_conn *ct;
	int verdict;

	if (!(stamp & ~STAMP_DEFERRED))
		return NF_ACCEPT; /* not from a pod */
	p.slot = (stamp & ~STAMP_DEFERRED) - 1;
	p.deferred = (stamp & STAMP_DEFERRED) != 0;
	ct = conntrack_of(skb);
	if (!ct) /* not tracked, so not translated: a Service that leads nowhere */
		return p.deferred ? refuse(REASON_DEFAULT_DENY) : NF_ACCEPT;
	if (is_reply(skb))
		return NF_ACCEPT;
	read_tuples(&p, ct);
	if (!p.translated && !p.deferred)
		return NF_ACCEPT;
	verdict = pass_through(&p);
	barrier_var(verdict); /* the verifier does not know what the compiler does */
	return verdict & 1;
}

SEC("netfilter")
int nat_four(struct bpf_nf_ctx *ctx)
{
	return after_dnat(ctx->skb);
}

SEC("netfilter")
int nat_six(struct bpf_nf_ctx *ctx)
{
	return after_dnat(ctx->skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
