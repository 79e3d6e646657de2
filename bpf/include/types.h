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

/* What is done about an act, in ascending strength; of events: what was done. */
enum action { ACTION_IGNORE, ACTION_AUDIT, ACTION_OBSERVE, ACTION_DENY, ACTION_KILL };

/* A kind of act that the pod is restricted in: what permits has in list is allowed. */
struct runtime_head {
	__u32 list; /* 0: nothing is allowed */
	__u32 rule; /* named where an act is not allowed */
	__u8 action; /* enum action; ACTION_IGNORE: not restricted */
	__u8 parents; /* entries of the list name parents */
	__u8 _pad[2];
};

/* Index into a pair of runtime_head. */
enum judgement { ENFORCED, AUDITED };

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
};

/* An act that a list allows. */
struct permit {
	__u32 list;
	__u32 what; /* 0: exec; 1 + the number of a capability */
	__u32 program; /* 0: any */
	__u32 parent; /* what ran before an exec; 0: any */
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
	__u8 _pad[3];
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

/* A file as seen in one container. */
struct program {
	__u64 container; /* cgroup id of the container */
	__u64 ino;
	__u32 dev; /* kernel notation: major << 20 | minor */
	__u32 _pad;
};

struct path_key {
	__u8 path[PATH_LEN]; /* zero-padded */
};

/* The folders of a path, in a trie. */
struct folder_key {
	__u32 len; /* bits of path */
	__u8 path[PATH_LEN]; /* with the final slash */
};

/* The programs that patterns stand for, in a folder that one of them names. */
struct folder {
	__u32 len; /* as in the key */
	__u32 files; /* those right in this folder; 0: none */
	__u32 below; /* those at any depth below it, or below a folder that it lies in; 0: none */
};

#define BINARY_OWN 1 /* its mount belongs to the mount namespace of the task */
#define BINARY_ROOT 2 /* that mount is the root, or lies on it */
#define BINARY_CUT 4 /* path longer than PATH_LEN */

/* A program file as an exec finds it. */
struct binary {
	__u64 ino;
	__u64 mount; /* unique id, or id before 6.8 */
	__u64 changed; /* inode; CLOCK_REALTIME, ns */
	__u32 dev;
	__u32 flags;
};

/* The script of an exec that is under way. */
struct script {
	__u64 bprm; /* of which exec */
	struct binary binary;
	__u32 _pad;
	__u32 folder; /* as in struct proc */
	struct path_key path;
};

/* What is known of a cgroup: its pod, and the container it belongs to. */
struct cgroup_pod {
	__u64 container; /* 0: no process has been started in it yet */
	__u32 slot;
	__u32 pod; /* pods[slot].id, else stale */
};

/* What the agent knows of the node, entry 0 of settings. */
struct node {
	__u64 tai_offset; /* CLOCK_TAI less CLOCK_REALTIME, ns */
	__u64 off_until; /* CLOCK_BOOTTIME, ns: till then nothing is enforced */
	__u32 host_mnt_ns; /* mount namespace of the node's process 1 */
	__u8 anti_spoofing; /* enum anti_spoofing */
	__u8 keep; /* 1: established connections outlive a change of rules */
	__u8 _pad[2];
};

enum anti_spoofing { SPOOF_ENFORCE, SPOOF_AUDIT, SPOOF_OFF };

/*
 * A container as of its entry: what the pod does to mounts and files later is not
 * it. A pod that shares the node's mount namespace has no files of its own, and
 * no start.
 */
struct container {
	__u64 last_mount; /* greatest mount id of mnt_ns at entry; 0: not known here */
	__u64 start; /* CLOCK_REALTIME less CTIME_LAG, ns; 0: on the node's mount namespace */
	__u32 mnt_ns;
	__u32 slot;
	__u32 pod;
	__u32 pid; /* of the entry */
};

/* Credentials that gains are measured against. */
struct creds {
	__u64 caps; /* permitted */
	__u32 uid[3]; /* real, effective, saved */
	__u32 gid[3];
	__u32 user_ns;
	__u32 _pad;
};

#define PROC_JUDGED 1 /* it or an ancestor made its entry */
#define PROC_IMAGE 2 /* the container began with the binary, and the mount it lies on */
#define PROC_CUT 4 /* path longer than PATH_LEN */
#define PROC_SCRIPT 8 /* the program is a script, run by its interpreter */

/* One process that belongs to a pod, by tgid. */
struct proc {
	__u64 exec_id; /* CLOCK_BOOTTIME of fork or exec; with pid unique on a node */
	__u64 parent_exec_id;
	__u64 cgroup;
	__u64 mount; /* of the binary: unique id, or id before 6.8 */
	struct program program;
	struct creds base; /* as of entry, lowered by each drop */
	struct creds creds; /* as of exec */
	__u32 pid;
	__u32 parent_pid;
	__u32 slot;
	__u32 pod;
	__u32 mnt_ns;
	__u32 net_ns;
	__u32 pid_ns;
	__u32 flags;
	__u32 _pad;
	__u32 folder; /* bits of path to its last slash; with path a folder_key */
	struct path_key path;
};

/* What is known of a judged process that has no record. */
struct orphan {
	struct creds base;
	__u32 slot;
	__u32 pod;
};

enum process_type { PROCESS_EXEC, PROCESS_FORK, PROCESS_EXIT, PROCESS_JOIN };

/* Fork and exit; the path is that of the exec with the same or the parent's id. */
struct process_event {
	__u64 time;
	__u64 exec_id;
	__u64 parent_exec_id;
	__u64 container;
	__u64 cgroup;
	__u32 type;
	__u32 pid;
	__u32 parent_pid;
	__u32 uid;
	__u32 slot;
	__u32 pod;
	__u32 exit_code; /* as wait(2) has it */
	__u32 flags;
};

/* An exec is told by this and the strings behind it. */
struct exec_event {
	struct process_event process;
	__u32 entry; /* 1: the first exec of a new container */
	__u32 args_len; /* of all arguments; more than ARGS_LEN: cut */
	__u8 path[PATH_LEN];
	__u8 args[ARGS_LEN];
};

enum gain { GAIN_CAPS = 1, GAIN_UID = 2, GAIN_GID = 4 };

/* A gain of privilege and what was done about it; on the ring of its own. */
struct escalation_event {
	__u64 time;
	__u64 exec_id;
	__u64 parent_exec_id;
	struct creds from;
	struct creds to;
	__u32 pid;
	__u32 slot;
	__u32 pod;
	__u32 action; /* enum action */
	__u32 rule;
	__u32 gain; /* enum gain, or-ed */
	__u32 at_exec;
	__u32 init; /* it was pid 1 of its container */
	__u8 path[PATH_LEN];
};

enum act { ACT_EXEC, ACT_CAPABILITY };

#define ACT_AUDITABLE 1 /* the kernel asked for the capability with audit */
#define ACT_OTHER_NS 2 /* in a user namespace that is not the process's first */
#define ACT_INIT 4 /* the process was pid 1 of its container */

/* An act that a rule does not allow, and what was done about it. */
struct act_event {
	__u64 time;
	__u64 exec_id; /* 0: the process has no record */
	__u64 parent_exec_id;
	__u32 kind; /* enum act */
	__u32 outcome; /* enum action */
	__u32 rule;
	__u32 pid;
	__u32 uid;
	__u32 slot;
	__u32 pod;
	__u32 what; /* as in struct permit, of a capability its number */
	__u32 flags; /* ACT_… */
	__u32 _pad;
	__u8 path[PATH_LEN]; /* the process's program; after an exec the new one */
	__u8 object[PATH_LEN]; /* the program that an exec is of */
};

/* How often a rule of a pod came to an outcome. */
struct tally_key {
	__u32 pod; /* pods[slot].id */
	__u32 rule;
	__u32 outcome; /* enum action */
};

struct tally {
	__u64 acts;
	__u64 held; /* of these, told by no event: there were too many */
};

/* Whose events share a token bucket. */
struct bucket_key {
	__u32 pod;
	__u32 rule;
};

#include "flow_types.h"

#endif
