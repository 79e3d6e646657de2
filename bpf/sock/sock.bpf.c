//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket point: knows the process. Stamps each socket with it, and gives an
 * errno where a WorkloadPolicy denies.
 *
 * Hooks, on the pod's cgroup: sock_create, bind4/6, post_bind4/6, connect4/6, sendmsg4/6.
 * Open by itself: what it lets through, the pod door judges once more. Only for a
 * process that left the pod's network namespace, which the door does not see, is
 * every layer asked here.
 */
#include "flow.h"
#include "process.h"
#include "service.h"

#define ALLOW 1
#define DENY 0
#define SOCK_STREAM 1
#define IPPROTO_MPTCP_ 262

static __always_inline struct proc *current_proc(void)
{
	return proc_of(bpf_get_current_pid_tgid() >> 32);
}

static __always_inline void fill(struct stamp *s, const struct proc *r, __u32 slot)
{
	s->slot = slot;
	s->pid = bpf_get_current_pid_tgid() >> 32;
	s->uid = bpf_get_current_uid_gid();
	s->exec_id = r ? r->exec_id : 0;
	s->known = r ? known_path(r) : 0;
	__builtin_memset(&s->program, 0, sizeof(s->program));
	if (r && r->flags & PROC_IMAGE)
		s->program = r->program;
}

/* Marks sk, which lives in the namespace `cookie`, with the current process. */
static __always_inline struct cgroup_pod *mark(void *ctx, struct bpf_sock *sk, struct stamp *s)
{
	struct cgroup_pod *c = pod_of(bpf_get_current_cgroup_id());
	struct stamp *to;

	if (!c)
		return 0;
	fill(s, current_proc(), c->slot);
	if (!sk)
		return c;
	to = bpf_sk_storage_get(&stamps, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (to)
		*to = *s;
	else
		count(&full, FULL_STAMPS);
	return c;
}

static __always_inline bool owned(const struct addr *a, __u32 slot)
{
	__u32 *owner = bpf_map_lookup_elem(&owners, a);

	return owner && *owner == slot;
}

/* May a denial to connect be told to the process? If not, the door drops in silence. */
static __always_inline bool answers(struct assignment r)
{
	__u32 id = r.ruleset;
	struct ruleset *rs = bpf_map_lookup_elem(&rulesets, &id);

	return rs && rs->errno_response[EGRESS];
}

/* Reports a denial; the pod's own address, or the peer's, is not known yet. */
static __noinline void report(const struct question *q, const struct answer *a, const struct pod *p,
			      const struct stamp *s)
{
	struct flow_key k = { .peer = q->peer, .ifindex = p->links[0], .protocol = q->protocol };
	struct flow f = {
		.judged = q->rules,
		.process = *s,
		.slot = s->slot,
		.layer = a->layer,
		.direction = q->direction,
		.verdict = VERDICT_DENIED,
		.reason = a->reason,
		.state = FLOW_DENIED,
	};
	struct flow *was;

	if (q->direction == EGRESS)
		k.peer_port = bpf_htons(q->port);
	else
		k.pod_port = bpf_htons(q->port);
	f.seen = bpf_ktime_get_coarse_ns();
	f.start = bpf_ktime_get_boot_ns();
	f.ttl = ttl_of(k.protocol, FLOW_DENIED);
	total(VERDICT_DENIED, q->direction, a->reason);
	was = bpf_map_lookup_elem(&flows, &k);
	if (was && was->judged.ruleset == f.judged.ruleset && was->process.exec_id == s->exec_id &&
	    !expired(was, f.seen)) {
		was->seen = f.seen;
		return;
	}
	put_flow(&k, &f, !was);
	emit_flow(&k, &f, PHASE_DENIED);
}

static __always_inline int decide(void *ctx, struct bpf_sock *sk, const struct addr *peer, __be16 port, __u32 protocol,
				  __u64 cookie)
{
	struct stamp s = {};
	struct cgroup_pod *c = mark(ctx, sk, &s);
	struct question q = { .peer = *peer, .layers = SOCKET_LAYERS, .direction = EGRESS };
	struct answer a = {};
	struct assignment *r;
	struct pod *p;
	bool escaped;

	if (!c)
		return ALLOW;
	p = bpf_map_lookup_elem(&pods, &c->slot);
	r = bpf_map_lookup_elem(&rules, &c->slot);
	if (!p || !r || is_loopback(peer) || is_unspecified(peer)) /* unspecified: loopback too */
		return ALLOW;
	escaped = cookie != p->netns;
	*(__u64 *)&q.rules = *(volatile __u64 *)r;
	if (!escaped && (!answers(q.rules) || owned(peer, c->slot)))
		return ALLOW;
	if (escaped)
		q.layers = ALL_LAYERS;
	q.protocol = protocol == IPPROTO_MPTCP_ ? IPPROTO_TCP : protocol;
	if (q.protocol == IPPROTO_TCP || q.protocol == IPPROTO_UDP || q.protocol == IPPROTO_SCTP)
		q.port = bpf_ntohs(port);
	if (!escaped && defers(c->slot, q.rules, peer, q.port, q.protocol))
		return ALLOW;
	set_process(&q, &s);
	if (judge(&q, &a) || (!a.errno_response && !escaped))
		return ALLOW;
	report(&q, &a, p, &s);
	if (!enforcing()) {
		count(&spared, a.reason);
		return ALLOW;
	}
	return DENY;
}

static __always_inline int decide4(struct bpf_sock_addr *ctx)
{
	struct addr peer;

	map_v4(&peer, ctx->user_ip4);
	return decide(ctx, ctx->sk, &peer, ctx->user_port, ctx->protocol, bpf_get_netns_cookie(ctx));
}

static __always_inline int decide6(struct bpf_sock_addr *ctx)
{
	struct addr peer;

	peer.w[0] = ctx->user_ip6[0];
	peer.w[1] = ctx->user_ip6[1];
	peer.w[2] = ctx->user_ip6[2];
	peer.w[3] = ctx->user_ip6[3];
	return decide(ctx, ctx->sk, &peer, ctx->user_port, ctx->protocol, bpf_get_netns_cookie(ctx));
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *ctx)
{
	return decide4(ctx);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *ctx)
{
	return decide6(ctx);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	return decide4(ctx);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	return decide6(ctx);
}

/* Is a port kept for programs that this one, s, is none of? */
static __always_inline bool reserved(const struct ruleset *rs, const struct question *q)
{
	struct grant *g;

	if (!rs->listen.id || !rs->errno_response[INGRESS])
		return false;
	g = grant_of(&rs->listen, q->protocol, q->port);
	return g && !g->rule && !rule_for_process(q, g);
}

/* Who may listen where: a port that ingress rules keep for others is refused. */
static __always_inline int decide_bind(struct bpf_sock_addr *ctx)
{
	struct cgroup_pod *c = pod_of(bpf_get_current_cgroup_id());
	struct answer a = { .reason = REASON_DEFAULT_DENY, .layer = LAYER_WORKLOAD };
	struct question q = { .direction = INGRESS, .protocol = ctx->protocol };
	struct assignment *r;
	struct stamp s = {};
	struct ruleset *rs;
	struct pod *p;
	__u32 id;

	q.port = bpf_ntohs(ctx->user_port);
	if (!c || !q.port)
		return ALLOW;
	p = bpf_map_lookup_elem(&pods, &c->slot);
	r = bpf_map_lookup_elem(&rules, &c->slot);
	if (!p || !r)
		return ALLOW;
	*(__u64 *)&q.rules = *(volatile __u64 *)r;
	id = q.rules.ruleset;
	rs = bpf_map_lookup_elem(&rulesets, &id);
	if (!rs)
		return ALLOW;
	fill(&s, current_proc(), c->slot);
	set_process(&q, &s);
	if (!reserved(rs, &q))
		return ALLOW;
	report(&q, &a, p, &s);
	return enforcing() ? DENY : ALLOW;
}

SEC("cgroup/bind4")
int sock_bind_to4(struct bpf_sock_addr *ctx)
{
	return decide_bind(ctx);
}

SEC("cgroup/bind6")
int sock_bind_to6(struct bpf_sock_addr *ctx)
{
	return decide_bind(ctx);
}

static __always_inline int stamp_only(struct bpf_sock *sk)
{
	struct stamp s = {};

	mark(sk, sk, &s);
	return ALLOW;
}

/* TCP has no use for a stamp before it is bound or connected. */
SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *sk)
{
	if (sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP)
		return ALLOW;
	return stamp_only(sk);
}

SEC("cgroup/post_bind4")
int sock_bind4(struct bpf_sock *sk)
{
	return stamp_only(sk);
}

SEC("cgroup/post_bind6")
int sock_bind6(struct bpf_sock *sk)
{
	return stamp_only(sk);
}

char _license[] SEC("license") = "Dual BSD/GPL";
