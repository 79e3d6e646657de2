/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is kept and told of containers and processes; a part of types.h, which includes it. */
#ifndef SLUICE_PROCESS_TYPES_H
#define SLUICE_PROCESS_TYPES_H

#define HISTOGRAM_BUCKETS 36 /* the last but one to 4.9 hours */

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
	__u32 generation; /* of the inode's number */
	__u32 _pad;
};

/* A program of a container's image whose mode, owner or times were changed, and no more
   while nobody could write to it or gave it a name. */
struct touched_key {
	__u64 container;
	__u64 ino;
	__u32 dev;
	__u32 generation;
};

struct touched_at {
	__u64 changed; /* as of struct binary, by the last such change */
	__u32 begun; /* 1: another is under way */
	__u32 doubtful; /* 1: somebody could write to it, or has given it a name */
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

/*
 * A container as of its entry: what the pod does to mounts and files later is not
 * it. A pod that shares the node's mount namespace has no files of its own, and
 * no start.
 */
struct container {
	__u64 last_mount; /* greatest mount id of mnt_ns at entry; 0: not known here */
	__u64 root; /* id of the mount that is its root */
	__u64 start; /* CLOCK_REALTIME less CTIME_LAG, ns; 0: on the node's mount namespace */
	__u32 mnt_ns;
	__u32 slot;
	__u32 pod;
	__u32 pid; /* of the entry */
	__u32 moved; /* 1: a folder or a mount has been, since; paths may lead elsewhere */
	__u32 unwatched; /* 1: touched had no room for a file that is doubtful */
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
#define PROC_ROOT 16 /* PROC_IMAGE, on the container's root mount: no volume's */

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

/* How often each time came: a bucket takes in those below 2^(its number) * 1024 ns,
   the last all others. */
struct histogram {
	__u64 sum; /* ns */
	__u64 buckets[HISTOGRAM_BUCKETS];
};

/* What is known of a judged process that has no record. */
struct orphan {
	__u64 container;
	struct creds base;
	__u32 slot;
	__u32 pod;
};

/* PROCESS_SEEN: not what has happened, but what is there. */
enum process_type { PROCESS_EXEC, PROCESS_FORK, PROCESS_EXIT, PROCESS_SEEN };

/* What somebody asks to be told; the first exec of a container is told anyway. */
enum telling { TELL_EXEC = 1, TELL_FORK = 2, TELL_EXIT = 4, TELL_ARGS = 8 };

/* What a process may do, and where it is, at one moment. */
struct standing {
	__u64 permitted; /* capabilities */
	__u64 effective;
	__u32 uid; /* real */
	__u32 euid;
	__u32 gid;
	__u32 egid;
	__u32 mnt_ns;
	__u32 net_ns;
	__u32 pid_ns; /* of its children */
	__u32 user_ns;
	__u32 cgroup_ns;
	__u32 uts_ns;
	__u32 ipc_ns;
	__u32 _pad;
};

/* Fork and exit; the path is that of the exec with the same or the parent's id. */
struct process_event {
	__u64 time;
	__u64 exec_id;
	__u64 parent_exec_id;
	__u64 container;
	__u64 cgroup;
	__u32 type; /* enum process_type */
	__u32 pid;
	__u32 parent_pid;
	__u32 slot;
	__u32 pod;
	__u32 exit_code; /* as wait(2) has it */
	__u32 flags;
	__u32 _pad;
	struct standing standing;
};

/* An exec is told by this and the strings behind it; so is what is there already. */
struct exec_event {
	struct process_event process;
	__u64 ino; /* of the program */
	__u64 mount; /* it lies on: unique id, or id before 6.8 */
	__u32 dev;
	__u32 entry; /* 1: the first exec of a new container; PROCESS_SEEN: the record is new */
	__u32 args_len; /* of all arguments; more than ARGS_LEN: cut */
	__u32 _pad;
	struct path_key path;
	struct path_key cwd;
	struct path_key interpreter; /* that runs the script */
	__u8 args[ARGS_LEN];
};

#endif
