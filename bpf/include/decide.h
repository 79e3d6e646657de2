/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is at the ends of a flow at the door (the process that sends or listens, the
 * client behind SNAT), and what the rules say of it.
 */
#ifndef SLUICE_DECIDE_H
#define SLUICE_DECIDE_H

#include "conntrack.h"
#include "service.h"
#include "visit.h"

/* The process of the socket that sends; a SYN-ACK is sent for the listener. */
static __always_inline bool read_stamp(struct __sk_buff *skb, struct stamp *s)
{
	struct bpf_sock *sk = skb->sk, *full;
	struct stamp *found;

	if (!sk)
		return false;
	full = bpf_sk_fullsock(sk);
	sk = full ?: bpf_get_listener_sock(sk);
	if (!sk)
		return false;
	found = bpf_sk_storage_get(&stamps, sk, 0, 0);
	if (found)
		*s = *found;
	return true;
}

/* The address that began a flow towards the pod, if SNAT hides it behind the peer's. */
static __always_inline bool client_of(struct __sk_buff *skb, struct addr *a)
{
	struct sk_buff *kernel = cast(bpf_cast_to_kern_ctx(skb), struct sk_buff);
	struct nf_conn *ct = conntrack_of(kernel);

	if (!ct || is_reply(kernel) || !(ct->status & IPS_SRC_NAT))
		return false;
	read_addr(a, &ct->tuplehash[0].tuple.src.u3, ct->tuplehash[0].tuple.src.l3num);
	return true;
}

/* The process that listens where a frame goes to, in the pod's namespace. Global, for its stack. */
__noinline int read_listener(struct __sk_buff *skb, const struct visit *v, struct stamp *s)
{
	bool v4;
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = 0;
	struct stamp *found;
	__u32 len;

	if (!v || !s || v->nsid < 0)
		return 0;
	v4 = is_v4(&v->key.pod);
	len = v4 ? sizeof(t.ipv4) : sizeof(t.ipv6);
	if (v4) {
		t.ipv4.saddr = v->key.peer.w[3];
		t.ipv4.daddr = v->key.pod.w[3];
		t.ipv4.sport = v->key.peer_port;
		t.ipv4.dport = v->key.pod_port;
	} else {
		__builtin_memcpy(t.ipv6.saddr, &v->key.peer, 16);
		__builtin_memcpy(t.ipv6.daddr, &v->key.pod, 16);
		t.ipv6.sport = v->key.peer_port;
		t.ipv6.dport = v->key.pod_port;
	}
	if (v->key.protocol == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(skb, &t, len, v->nsid, 0);
	else if (v->key.protocol == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &t, len, v->nsid, 0);
	if (!sk)
		return 0;
	found = bpf_sk_storage_get(&stamps, sk, 0, 0);
	if (found)
		*s = *found;
	bpf_sk_release(sk);
	return found != 0;
}

/* What the rules say now of the backend of a deferred flow, when its answer comes. */
static __always_inline void decide_behind(const struct visit *v, struct flow *flow, struct question *q)
{
	struct answer a = {};

	q->peer = flow->behind.addr;
	q->port = bpf_ntohs(flow->behind.port);
	set_process(q, &flow->process);
	judge(q, &a);
	flow->verdict = a.verdict == VERDICT_DENIED ? VERDICT_DENIED : VERDICT_ALLOWED;
	flow->behind.verdict = a.verdict;
	flow->behind.judged = v->rules;
	flow->behind.known = 1;
}

/* Fills in what judging says of a flow; its direction and process are set. True if
   the process mattered. */
static __always_inline bool decide(struct __sk_buff *skb, const struct visit *v, struct flow *flow)
{
	struct question q = {
		.peer = v->key.peer,
		.rules = v->rules,
		.layers = ALL_LAYERS,
		.since = flow->seen ? flow->start : 0, /* not seen: it begins */
		.protocol = v->key.protocol,
		.direction = flow->direction,
		.port = bpf_ntohs(flow->direction == EGRESS ? v->key.peer_port : v->key.pod_port),
	};
	struct answer a = {};

	if (flow->direction == EGRESS && defers(v->slot, v->rules, &q.peer, q.port, q.protocol)) {
		flow->verdict = VERDICT_ALLOWED;
		flow->reason = REASON_NO_POLICY;
		flow->flags |= FLOW_DEFERRED;
		flow->rule = 0;
		flow->cookie = v->direction == EGRESS ? bpf_get_socket_cookie(skb) : 0;
		if (v->direction == INGRESS && !is_zero(&flow->behind.addr))
			decide_behind(v, flow, &q);
		return true;
	}
	flow->flags &= ~FLOW_DEFERRED;
	if (flow->direction == INGRESS && v->direction == INGRESS && client_of(skb, &q.peer))
		flow->behind.addr = q.peer;
	else if (flow->direction == INGRESS && !is_zero(&flow->behind.addr))
		q.peer = flow->behind.addr;
	if (q.protocol == IPPROTO_ICMP || q.protocol == IPPROTO_ICMP6)
		q.port = 0;
	set_process(&q, &flow->process);
	judge(&q, &a);
	if (a.by_process && v->direction == INGRESS && flow->direction == INGRESS && !q.program &&
	    read_listener(skb, v, &flow->process)) {
		set_process(&q, &flow->process);
		judge(&q, &a);
	}
	if (a.by_process && flow->direction == INGRESS)
		flow->flags |= FLOW_BY_PROCESS;
	flow->verdict = a.verdict;
	flow->reason = a.reason;
	flow->layer = a.layer;
	flow->rule = a.rule;
	flow->cookie =
	    a.by_process && v->direction == EGRESS && flow->direction == EGRESS ? bpf_get_socket_cookie(skb) : 0;
	return a.by_process && flow->direction == EGRESS;
}

#endif
