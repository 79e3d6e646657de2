/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments have no ports but in the first one, whose verdict the others share. A
 * pod remembers FRAGMENTS_EACH datagrams, the later ones in the place of earlier.
 */
#ifndef SLUICE_FRAGMENT_H
#define SLUICE_FRAGMENT_H

#include "visit.h"

#define FRAGMENT_TTL (30 * SECOND) /* as long as the kernel keeps datagrams in pieces */

/* The place of a frame's datagram among those of its pod. */
static __always_inline struct fragment *place_of(const struct visit *v)
{
	const struct frame *f = &v->frame;
	__u32 at = f->datagram * 0x9e3779b1 ^ f->src.w[3] ^ f->dst.w[3] * 31 ^ f->piece;

	at = v->slot * FRAGMENTS_EACH + (at >> 16) % FRAGMENTS_EACH;
	return bpf_map_lookup_elem(&fragments, &at);
}

/* How many bytes of a datagram its first fragment had judged: no other may write there. */
static __always_inline __u32 judged_bytes(const struct frame *f)
{
	__u32 transport = 0;

	switch (f->protocol) {
	case IPPROTO_TCP:
		transport = f->tcp_words * 4;
		break;
	case IPPROTO_SCTP:
		transport = 12;
		break;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMP6:
		transport = 8;
	}
	return f->at - f->payload + transport;
}

static __always_inline bool same_datagram(const struct fragment *p, const struct visit *v)
{
	const struct frame *f = &v->frame;

	return p->id == f->datagram && p->protocol == f->piece && p->direction == v->direction &&
	       same_addr(&p->src, &f->src) && same_addr(&p->dst, &f->dst);
}

/* Remembers what became of a first fragment; one denied takes nobody else's place. */
static __always_inline void note_fragment(__u32 ifindex, struct visit *v, bool passes)
{
	struct doorway *d = bpf_map_lookup_elem(&doors, &ifindex);
	const struct frame *f = &v->frame;
	struct assignment *r;
	struct fragment *p;

	if (!d)
		return;
	v->slot = d->slot;
	r = bpf_map_lookup_elem(&rules, &v->slot);
	p = place_of(v);
	if (!r || !p)
		return;
	v->rules = *r;
	bpf_spin_lock(&p->lock);
	if (passes) {
		p->src = f->src;
		p->dst = f->dst;
		p->seen = v->now;
		p->judged = v->rules;
		p->id = f->datagram;
		p->protocol = f->piece;
		p->direction = v->direction;
		p->heads = judged_bytes(f);
		p->passes = 1;
	} else if (same_datagram(p, v)) {
		p->passes = 0;
	}
	bpf_spin_unlock(&p->lock);
}

/* Did the first fragment of this one's datagram pass? One unknown did not. */
static __always_inline bool first_passed(const struct visit *v)
{
	struct fragment *p = place_of(v);
	bool passed;

	if (!p)
		return false;
	bpf_spin_lock(&p->lock);
	passed = p->passes && same_datagram(p, v) && v->frame.offset >= p->heads && v->now - p->seen < FRAGMENT_TTL &&
		 p->judged.pod == v->rules.pod && p->judged.ruleset == v->rules.ruleset;
	bpf_spin_unlock(&p->lock);
	return passed;
}

#endif
