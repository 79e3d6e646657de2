/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is left to the point after DNAT, because a Service's backend is chosen later. */
#ifndef SLUICE_SERVICE_H
#define SLUICE_SERVICE_H

#include <linux/in.h>
#include "judge.h"

static __always_inline bool isolated(struct assignment r, __u8 direction)
{
	__u32 id = r.ruleset;
	struct ruleset *rs;

	if (id == RULESET_OPEN)
		return false;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	return !rs || *(__u32 *)&rs->active[(direction & 1) * LAYERS];
}

/* Does nothing pass in this direction but what a rule allows? */
static __always_inline bool needs_allow(struct assignment r, __u8 direction)
{
	__u32 id = r.ruleset;
	struct ruleset *rs;
	__u8 *active;

	if (id == RULESET_OPEN)
		return false;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	if (!rs)
		return true;
	active = &rs->active[(direction & 1) * LAYERS];
	return active[LAYER_NETWORK] | active[LAYER_WORKLOAD];
}

/* Are the pod's frames seen after DNAT too? */
static __always_inline bool deferring(__u32 slot, struct assignment r)
{
	__u32 *pod = bpf_map_lookup_elem(&deferrals, &slot);

	return pod && *pod == r.pod;
}

/* Is this to a Service, and will it be seen once the backend is chosen? */
static __always_inline bool defers(__u32 slot, struct assignment r, const struct addr *peer, __u16 port, __u8 protocol)
{
	struct node_port np = { .port = port, .protocol = protocol };

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP)
		return false; /* nothing else has a backend chosen for it */
	if (!deferring(slot, r) || r.ruleset == RULESET_CLOSED || !isolated(r, EGRESS))
		return false;
	if (bpf_map_lookup_elem(&services, peer))
		return true;
	return bpf_map_lookup_elem(&node_addrs, peer) && bpf_map_lookup_elem(&node_ports, &np);
}

#endif
