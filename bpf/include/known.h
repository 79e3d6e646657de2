/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame of a flow that the table knows: most frames go no further than this. */
#ifndef SLUICE_KNOWN_H
#define SLUICE_KNOWN_H

#include "decide.h"

/*
 * Reads the usual frame in place: TCP, whole, in IPv4 without options, untagged. False:
 * it is not, and parse_frame says what it is. Sets what of f was not zeroed and is read
 * of a flow's frame.
 */
#define TCP_HEADER 20 /* without options */

static __always_inline bool parse_usual(struct __sk_buff *skb, struct frame *f)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	__u8 *tcp = (void *)(ip + 1);
	__u32 end;

	if ((void *)(tcp + 14) > (void *)(long)skb->data_end || skb->protocol != bpf_htons(ETH_P_IP))
		return false;
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(MF | OFFSET))
		return false;
	end = ETH_HLEN + bpf_ntohs(ip->tot_len);
	if (end < ETH_HLEN + sizeof(*ip) + TCP_HEADER || end > skb->len || skb->vlan_present)
		return false;
	map_v4(&f->src, ip->saddr);
	map_v4(&f->dst, ip->daddr);
	f->sport = *(__be16 *)tcp;
	f->dport = *(__be16 *)(tcp + 2);
	f->protocol = IPPROTO_TCP;
	f->tcp_flags = tcp[13];
	f->tcp_words = tcp[12] >> 4;
	f->kind = KIND_FLOW;
	f->at = ETH_HLEN + sizeof(*ip);
	f->end = end;
	return true;
}

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

/* May the other end of a denied flow begin one of its own? What it says in TCP is but
   an answer, unless it is a SYN. */
static __always_inline bool revives(const struct flow *flow, const struct frame *f)
{
	return opens(f) || (f->protocol != IPPROTO_TCP && flow->reason != REASON_RECHECK);
}

/* Does a frame make a denial last? One is asked for again in time; a connection that
   was cut is not, for as long as its ends, or the other end alone, go on. */
static __always_inline bool lasts(const struct flow *flow, const struct frame *f, __u8 direction)
{
	return flow->reason == REASON_RECHECK && (f->protocol == IPPROTO_TCP || direction != flow->direction);
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
		if (direction != flow->direction && revives(flow, f) && enforcing())
			return MISS;
		account(flow, lasts(flow, f, direction) ? now : flow->seen, skb->len, direction);
		return drop(flow->reason);
	}
	if (direction == INGRESS && flow->flags & FLOW_DEFERRED && flow->behind.known &&
	    flow->behind.verdict == VERDICT_DENIED)
		return drop(flow->reason);
	if (anew(flow, f, direction))
		return MISS;
	if (direction == EGRESS && flow->flags & FLOW_FOREIGN && !still_tolerated(flow->judged.pod, &f->src))
		return MISS;
	if (flow->flags & FLOW_DEFERRED && !deferring(slot, flow->judged))
		return MISS; /* nobody judges it later any more */
	follow(flow, f, direction); /* where the quota is full it stays half open */
	lengthen(flow, f->protocol);
	if (direction == EGRESS && flow->direction == INGRESS && !(flow->flags & FLOW_NAMED) &&
	    read_stamp(skb, &flow->process)) {
		flow->flags |= FLOW_NAMED;
		if (flow->flags & FLOW_BY_PROCESS) { /* several may listen: this one has it */
			flow->judged.ruleset = RULESET_STALE;
			return MISS;
		}
	}
	account(flow, now, skb->len, direction);
	return pass(skb, direction, slot, flow->flags);
}

#endif
