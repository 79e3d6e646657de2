//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who uses a connected socket, if not who connected it, or listened: it was inherited
 * over an exec, or passed. The connection is then judged as the new program's, from its
 * next frame on; what it sent or received just now has passed.
 *
 * Hooks: tp_btf sock_send_length, sock_recv_length (6.3), on every send and receive
 * of the machine, so attached only while a rule names a program.
 */
#include "flow.h"
#include "process.h"

#define AF_INET 2
#define AF_INET6 10

static __always_inline bool same_program(const struct program *a, const struct program *b)
{
	return a->container == b->container && a->ino == b->ino && a->dev == b->dev;
}

static __always_inline void key_of(struct flow_key *k, struct sock *sk)
{
	struct sock_common *c = &sk->__sk_common;

	if (c->skc_family == AF_INET) {
		map_v4(&k->pod, c->skc_rcv_saddr);
		map_v4(&k->peer, c->skc_daddr);
	} else {
		bpf_probe_read_kernel(&k->pod, sizeof(k->pod), &c->skc_v6_rcv_saddr);
		bpf_probe_read_kernel(&k->peer, sizeof(k->peer), &c->skc_v6_daddr);
	}
	k->pod_port = bpf_htons(c->skc_num);
	k->peer_port = c->skc_dport;
	k->protocol = sk->sk_protocol;
}

/* Has the doors judge the socket's flow anew, by whichever interface it goes, if it was
   judged as another program's. */
static __always_inline void judge_anew(struct sock *sk, __u32 slot, const struct program *program)
{
	struct pod *p = bpf_map_lookup_elem(&pods, &slot);
	struct flow_key k = {};
	struct flow *f;

	if (!p)
		return;
	key_of(&k, sk);
	for (int i = 0; i < POD_LINKS && p->links[i]; i++) {
		k.ifindex = p->links[i];
		f = bpf_map_lookup_elem(&flows, &k);
		if (!f || same_program(&f->process.program, program))
			continue;
		f->behind.known = 0;
		f->judged.ruleset = RULESET_STALE;
	}
}

static __always_inline bool connected(struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6) && sk->__sk_common.skc_dport;
}

/* An accepted socket gets its stamp here, by its first use. */
static __always_inline int used(struct sock *sk)
{
	struct program none = {}, *program = &none;
	struct stamp *s;
	struct proc *r;

	if (!connected(sk))
		return 0;
	r = proc_of(bpf_get_current_pid_tgid() >> 32);
	if (!r)
		return 0;
	s = bpf_sk_storage_get(&stamps, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		count(&full, FULL_STAMPS);
		return 0;
	}
	if (r->flags & PROC_IMAGE)
		program = &r->program;
	if (s->pid && same_program(&s->program, program)) {
		if (!proc_of(s->pid)) { /* who had it is gone: patterns are asked of who has it */
			s->exec_id = r->exec_id;
			s->pid = r->pid;
		}
		return 0;
	}
	if (!s->pid)
		s->slot = r->slot;
	s->program = *program;
	s->known = known_path(r);
	s->exec_id = r->exec_id;
	s->pid = r->pid;
	s->uid = bpf_get_current_uid_gid();
	judge_anew(sk, s->slot, program);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(use_send, struct sock *sk)
{
	return used(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(use_recv, struct sock *sk)
{
	return used(sk);
}

char _license[] SEC("license") = "Dual BSD/GPL";
