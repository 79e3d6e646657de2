//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What BPF LSM prevents: an exec that the pod's rules do not allow, and the use of a
 * capability. The caller gets EPERM and lives.
 *
 * Hooks: lsm bprm_check_security, bprm_creds_from_file, capable; task_getpgid for a trial.
 * Closed for acts that are restricted, where an act cannot be described for want of
 * memory; open for all others.
 */
#include "capability.h"
#include "exec.h"

/* Notes the script that an exec begins with, for known_by; one that another script runs
   stands for nothing. */
SEC("lsm/bprm_check_security")
int BPF_PROG(lsm_exec_begins, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct script *s;
	bool first = bprm->interp == bprm->filename, script = bprm->buf[0] == '#' && bprm->buf[1] == '!';

	if (ret || !(first || script))
		return ret;
	s = bpf_task_storage_get(&scripts, task, 0, 0);
	if (s)
		s->bprm = 0; /* also of an exec that failed: this one may have its address */
	if (!first || !script)
		return 0;
	if (!pod_of(cgroup_of(task)) && !proc_of(task->tgid))
		return 0;
	note_script(task, bprm, bprm->file);
	return 0;
}

/* The exec as the record would have it, of a container that begins with it if there is
   none; 0: no memory. */
static __always_inline struct proc *attempt(struct task_struct *task, struct linux_binprm *bprm, const struct proc *r,
					    const struct cgroup_pod *c, __u64 container)
{
	struct proc *next = bpf_task_storage_get(&attempts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!next) {
		count(&full, FULL_ATTEMPTS);
		return 0;
	}
	next->flags = 0;
	if (r)
		container = r->program.container;
	else if (c && c->container)
		container = c->container;
	next->program.container = container;
	portray(next, task, bprm, !r && c && !c->container);
	return next;
}

static __always_inline int judge_exec(struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct actor a = { .task = task, .r = proc_of(task->tgid) };
	struct orphan *o = a.r ? 0 : bpf_task_storage_get(&orphans, task, 0, 0);
	__u64 cgroup = cgroup_of(task);
	struct cgroup_pod *c = pod_of(cgroup);
	struct identity parent, who;
	struct ruleset *rs;
	struct ruling by;
	struct proc *next;
	bool own = mount_of(bprm->file)->mnt_ns == task->nsproxy->mnt_ns;

	if (a.r && !(a.r->flags & PROC_JUDGED))
		a.r = 0;
	if (o)
		a.r = revive(task, o);
	if (a.r) {
		a.slot = a.r->slot;
		a.pod = a.r->pod;
	} else if (o) {
		a.slot = o->slot;
		a.pod = o->pod;
	} else {
		c = c ?: own ? join(task, cgroup) : 0;
		if (!c || !own)
			return 0;
		a.slot = c->slot;
		a.pod = c->pod;
	}
	rs = rules_of(a.slot, a.pod);
	if (!rs || rs->exec[ENFORCED].action != ACTION_DENY)
		return 0;
	identify_parent(&parent, rs, a.r);
	next = attempt(task, bprm, a.r, c, cgroup);
	identify(&who, o && !a.r ? 0 : next);
	rule_on(&by, rs->exec, 0, &who, &parent);
	if (by.action == ACTION_DENY)
		report_act(&a, &by, ACT_EXEC, 0, 0, next ? &next->path : 0);
	bpf_task_storage_delete(&attempts, task);
	return by.action == ACTION_DENY ? -EPERM : 0;
}

SEC("lsm/bprm_creds_from_file")
int BPF_PROG(lsm_exec, struct linux_binprm *bprm, struct file *file, int ret)
{
	return ret ?: judge_exec(bprm);
}

SEC("lsm/capable")
int BPF_PROG(lsm_capable, struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts, int ret)
{
	struct use use = { .ns = ns->ns.inum, .capability = cap, .auditable = !(opts & CAP_OPT_NOAUDIT) };
	struct asked q = {};

	if (ret || !rule_use(&q, cred, &use))
		return ret;
	return settle_use(&q, &use, true);
}

__u64 trials;

/* Says that the hooks run: a kernel may attach to them and never call. */
SEC("lsm/task_getpgid")
int BPF_PROG(lsm_trial, struct task_struct *task, int ret)
{
	__sync_fetch_and_add(&trials, 1);
	return ret;
}

char _license[] SEC("license") = "Dual BSD/GPL";
