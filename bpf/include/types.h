/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys, values and events: the one description of what the maps hold. bpf2go
 * writes the Go side from it (bpf/state).
 */
#ifndef SLUICE_TYPES_H
#define SLUICE_TYPES_H

#include <linux/types.h>
#include <linux/bpf.h>

#define PATH_LEN 256 /* with the final NUL; longer paths match no rule */
#define ARGS_LEN 256

#define RULESET_CLOSED 0
#define RULESET_OPEN 1
/* Of a flow that is to be judged anew: its socket has another user, or its peer's
   address another owner. */
#define RULESET_STALE 0xffffffff
#define RULESET_MOVED 0xfffffffe

#include "process_types.h"
#include "act_types.h"

enum direction { INGRESS = 0, EGRESS = 1 };
/* In the order of their precedence. Admin and baseline are ordered, the others isolate. */
enum layer { LAYER_ADMIN, LAYER_NETWORK, LAYER_WORKLOAD, LAYER_BASELINE, LAYERS };

enum verdict { VERDICT_DENIED = 0, VERDICT_ALLOWED = 1, VERDICT_AUDIT_DENIED = 2, VERDICTS = 3 };

/* Why a flow was decided as it was. Names in bpf/state/reason.go. */
enum reason {
	REASON_POLICY,
	REASON_DEFAULT_DENY,
	REASON_NO_POLICY,
	REASON_CLOSED,
	REASON_QUARANTINE,
	REASON_SPOOFED,
	REASON_MALFORMED,
	REASON_FRAGMENT,
	REASON_TABLE_FULL,
	REASON_RECHECK,
	REASON_EXEMPT,
	REASONS,
};

enum phase { PHASE_NEW, PHASE_UPDATE, PHASE_CLOSED, PHASE_DENIED };

/* IPv6, or IPv4 mapped into ::ffff:0:0/96. */
struct addr {
	__be32 w[4];
};

/* doors[ifindex]: the pod behind the host side of a veth. */
struct doorway {
	__u64 mac; /* of the pod's side, first byte lowest; 0: not known */
	__u32 slot;
	__s32 nsid; /* of the pod's network namespace, as the node's knows it */
};

/* Further source addresses of a pod, in a trie. */
struct source {
	__u32 len; /* 32 + 96 + bits for IPv4 */
	__u32 pod;
	struct addr addr;
};

/* A port on the node's own addresses that leads to a Service. */
struct node_port {
	__u16 port; /* host order */
	__u8 protocol;
	__u8 _pad;
};

#define POD_LINKS 4 /* interfaces of a pod whose flows are found from elsewhere */

/* pods[slot]: one pod's identity, written at CNI ADD. */
struct pod {
	__u64 netns; /* cookie */
	__u32 id; /* never reused; 0: the slot is free */
	__u32 links[POD_LINKS]; /* host sides of its veths, by ifindex; 0: no more */
	__u32 _pad;
};

/*
 * rules[slot]: the pod's rules. One aligned word, so that a switch is atomic. pod
 * repeats pods[slot].id: a connection remembers this word and is judged anew
 * when it differs.
 */
struct assignment {
	__u32 pod;
	__u32 ruleset;
};

/*
 * Bit n of lengths, up to 16: the set has entries of n bits. Then 14 bits are a filter
 * of the exact ports, none: there is no filter. The last: it has no entry of every
 * protocol. id 0: the set grants nothing.
 */
struct port_set {
	__u32 id;
	__u32 lengths;
};

/* A rule set's head; its edges, ports, processes and permits have maps of their own. */
struct ruleset {
	struct port_set any_peer[2 * LAYERS]; /* by direction * LAYERS + layer */
	__u32 lists[2 * LAYERS]; /* of rules, likewise */
	struct port_set listen; /* ports that ingress rules keep for some programs */
	__u8 active[2 * LAYERS]; /* layers that are asked, likewise */
	__u8 errno_response[2]; /* by direction */
	__u8 privileges; /* enum action */
	__u8 _pad;
	__u32 privileges_rule;
	__u32 audit; /* rule set to judge a second time; 0: none */
	struct runtime_head exec[2]; /* by enum judgement */
	struct runtime_head capabilities[2];
	__u32 files[2]; /* lists of rules on files, likewise; 0: none */
};

/* What a list of rules grants to the peers of a class is a port set. */
struct edge {
	__u32 list;
	__u32 class;
};

/* The ports of a protocol whose first bits are those of port. */
struct port_key {
	__u32 set;
	__u8 protocol; /* 0 with bits 0: any */
	__u8 bits;
	__u16 port; /* host order, the other bits 0 */
};

enum outcome { OUTCOME_PASS, OUTCOME_ACCEPT, OUTCOME_DENY };

struct grant {
	__u32 rule;
	__u32 processes;
	__u8 outcome; /* enum outcome, of an ordered layer */
	__u8 patterns; /* 1: processes has patterns */
	__u8 _pad[2];
};

#define FORMERS_EACH 4 /* of an address */

struct former_key {
	struct addr addr;
	__u32 n; /* from 0, in the order of time */
};

/* What the pod of an address was before its labels changed, to connections begun then. */
struct former {
	__u64 from, until; /* CLOCK_BOOTTIME, ns */
	__u32 class;
	__u32 _pad;
};

struct process_key {
	__u32 set;
	__u32 program;
};

struct prefix {
	__u32 len; /* 96 + bits for IPv4 */
	struct addr addr;
};

/* What the agent knows of the node, entry 0 of settings. */
struct node {
	__u64 tai_offset; /* CLOCK_TAI less CLOCK_REALTIME, ns */
	__u64 off_until; /* CLOCK_BOOTTIME, ns: till then nothing is enforced */
	__u32 host_mnt_ns; /* mount namespace of the node's process 1 */
	__u8 anti_spoofing; /* enum anti_spoofing */
	__u8 keep; /* 1: established connections outlive a change of rules */
	__u8 tells; /* enum telling, or-ed: what is told of every pod's processes */
	__u8 _pad;
};

enum anti_spoofing { SPOOF_ENFORCE, SPOOF_AUDIT, SPOOF_OFF };

#include "flow_types.h"

#endif
