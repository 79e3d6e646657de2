/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules on acts, and what is told of acts; a part of types.h, which includes it. */
#ifndef SLUICE_ACT_TYPES_H
#define SLUICE_ACT_TYPES_H

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

/* An act that a list allows. */
struct permit {
	__u32 list;
	__u32 what; /* 0: exec, or use of a file; 1 + the number of a capability */
	__u32 program; /* 0: any */
	__u32 parent; /* what ran before an exec; 0: any */
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

/* What the agent knows of a container. */
enum resolved {
	RESOLVED = 1, /* its files are in programs, its folders in places */
	RESOLVED_ELSEWHERE = 2, /* a folder that patterns name is not where they say: behind a link */
};

/* Uses of a file; the bits of policy.Operations. */
enum operation {
	OP_READ,
	OP_WRITE,
	OP_CREATE,
	OP_DELETE,
	OP_RENAME,
	OP_LINK,
	OP_CHMOD,
	OP_CHOWN,
	OP_MOUNT_OVER,
	OP_MMAP_EXEC,
	OP_TRUNCATE,
	OPERATIONS,
};

/* A use of what a path or pattern names, in a list of rules on files: its head says to
   whom it is left. An entry includes what wider patterns of the list say. */
struct file_key {
	__u32 list;
	__u32 file; /* as in struct identity */
	__u32 operation; /* enum operation */
};

#define FILE_ANYTHING 0xffffffff /* for file: of whatever a list has rules on, the strictest */

/* A use of a file that an Audit rule has told of. */
struct sample_key {
	__u64 exec_id;
	__u64 ino;
	__u32 dev;
	__u32 rule;
	__u32 operation;
	__u32 _pad;
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

enum act { ACT_EXEC, ACT_CAPABILITY, ACT_FILE };

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
	__u32 what; /* number of the capability, or enum operation */
	__u32 flags; /* ACT_… */
	__u32 _pad;
	__u8 path[PATH_LEN]; /* the process's program; after an exec the new one */
	__u8 object[PATH_LEN]; /* the program that an exec is of, or the file */
};

/* How often a rule of a pod came to an outcome. */
struct tally_key {
	__u32 pod; /* pods[slot].id */
	__u32 rule;
	__u16 kind; /* enum act */
	__u16 outcome; /* enum action */
};

struct tally {
	__u64 acts;
	__u64 held; /* of these, told by no event: there were too many */
};

/* Whose events share a token bucket. */
struct bucket_key {
	__u32 pod;
	__u32 rule;
	__u32 kind; /* enum act */
};

#endif
