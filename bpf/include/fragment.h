/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments have no ports but in the first one, whose verdict the others share. A
 * pod remembers FRAGMENTS_EACH datagrams, the later ones in the place of earlier.
 */
#ifndef SLUICE_FRAGMENT_H
#define SLUICE_FRAGMENT_H

#include "visit.h"

#define FRAGMENT_TTL (30 * SECOND) /* as long as the kernel keeps datagrams in pieces */
#define TCP_HEADER 20

/* The place of a frame's datagram among those of its pod. */
static __always_inline struct fragment *place_of(const struct visit *v)
{
	const struct frame *f = &v->frame;
	__u32 at = f->datagram * 0x9e3779b1 ^ f->src.w[3] ^ f->dst.w[3] * 31 ^ f->protocol;

	at = v->slot * FRAGMENTS_EACH + (at >> 16) % FRAGMENTS_EACH;
	return bpf_map_lookup_elem(&fragments, &at);
}

/* Remembers what became of a first fragment. */
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
	p->src = f->src;
	p->dst = f->dst;
	p->seen = v->now;
	p->judged = v->rules;
	p->id = f->datagram;
	p->protocol = f->protocol;
	p->direction = v->direction;
	p->passes = passes;
	bpf_spin_unlock(&p->lock);
}

/* Did the first fragment of this one's datagram pass? One unknown did not. */
static __always_inline bool first_passed(const struct visit *v)
{
	const struct frame *f = &v->frame;
	struct fragment *p = place_of(v);
	bool passed;

	if (!p || (f->protocol == IPPROTO_TCP && f->offset < TCP_HEADER)) /* RFC 3128 */
		return false;
	bpf_spin_lock(&p->lock);
	passed = p->passes && p->id == f->datagram && p->protocol == f->protocol && p->direction == v->direction &&
		 same_addr(&p->src, &f->src) && same_addr(&p->dst, &f->dst) && v->now - p->seen < FRAGMENT_TTL &&
		 p->judged.pod == v->rules.pod && p->judged.ruleset == v->rules.ruleset;
	bpf_spin_unlock(&p->lock);
	return passed;
}

#endif
