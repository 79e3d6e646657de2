/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is kept and told of a flow; a part of types.h, which includes it. */
#ifndef SLUICE_FLOW_TYPES_H
#define SLUICE_FLOW_TYPES_H

/* The process behind a socket. */
struct stamp {
	__u64 exec_id;
	struct program program; /* container 0: no rule can name it */
	__u32 pid;
	__u32 uid;
	__u32 known; /* program id as of the stamp, for containers not resolved yet */
	__u32 slot;
};

/* Who is behind the peer: the backend that DNAT chose, or the client before SNAT. */
struct behind {
	struct addr addr;
	struct assignment judged;
	__be16 port;
	__u8 verdict; /* of the backend */
	__u8 known; /* 1: the rest is set */
	__u8 _pad[4];
};

/* A first fragment's verdict, for those that follow it. */
struct fragment {
	struct addr src, dst;
	__u64 seen; /* CLOCK_MONOTONIC_COARSE, ns */
	struct assignment judged;
	__u32 id;
	__u8 protocol;
	__u8 direction;
	__u8 passes;
	__u8 _pad;
	struct bpf_spin_lock lock;
	__u32 heads; /* bytes of the datagram that were judged */
};

/* A flow of one pod, both ways; pod is the pod's side. */
struct flow_key {
	struct addr pod;
	struct addr peer;
	__be16 pod_port; /* ICMP: echo identifier, or type */
	__be16 peer_port;
	__u32 ifindex;
	__u8 protocol;
	__u8 _pad[3];
};

enum flow_state {
	FLOW_HALF, /* no answer yet */
	FLOW_OPEN,
	FLOW_CLOSING, /* FIN both ways, or RST */
	FLOW_DENIED,
};

#define FLOW_FIN_OUT 1
#define FLOW_FIN_IN 2
#define FLOW_NAMED 4 /* the process was looked for */
#define FLOW_DEFERRED 8 /* judged after DNAT, not here */
#define FLOW_ANSWERED 16 /* TCP: by the other end, but not yet acknowledged */
#define FLOW_BY_PROCESS 64 /* ingress: a program was asked for */
#define FLOW_FOREIGN 32 /* bears an address that is not the pod's own */

/* What is used on each frame comes first, in as few cache lines as that takes. */
struct flow {
	struct assignment judged; /* first two words read on each packet */
	__u32 slot;
	__u32 state;
	__u8 direction;
	__u8 verdict;
	__u8 reason;
	__u8 flags;
	__u8 layer; /* that isolates, for REASON_DEFAULT_DENY */
	__u8 _pad[3];
	__u64 seen; /* CLOCK_MONOTONIC_COARSE, ns */
	__u64 ttl; /* ns */
	__u64 cookie; /* socket, where a process rule decided; else 0 */
	__u64 mac; /* the pod's */
	__u64 packets[2]; /* by direction of the frame */
	__u64 bytes[2];
	__u64 start; /* CLOCK_BOOTTIME, ns */
	struct stamp process;
	struct behind behind;
	__u32 rule;
	__u32 _pad2;
};

/* A flow in the queue of the reaper. */
struct aged {
	struct flow_key key;
	__u32 due; /* before that it cannot be over; CLOCK_MONOTONIC_COARSE, 2^24 ns */
	__u32 round; /* of the reaper that last had it in hand */
};

/* The one timer that ends flows. */
struct reaper {
	struct bpf_timer timer;
	__u32 round;
	__u32 _pad;
};

/* counts[slot]: flows a pod holds, for its quotas. */
struct count {
	__u32 pod;
	__u32 flows[3]; /* half, open (closing too), denied */
};

struct flow_event {
	struct flow_key key;
	__u32 pod;
	__u64 time; /* CLOCK_BOOTTIME, ns */
	__u64 start;
	__u64 packets[2];
	__u64 bytes[2];
	struct stamp process;
	struct addr behind; /* see struct behind; 0: the peer itself */
	__u32 rule;
	__u32 slot;
	__u32 ruleset;
	__be16 behind_port;
	__u8 direction;
	__u8 verdict;
	__u8 reason;
	__u8 phase;
	__u8 layer;
	__u8 _pad[5];
};

#endif
