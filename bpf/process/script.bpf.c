//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which script an exec is of. When the kernel has found that a file is a script it
 * lets go of it and starts over with the interpreter; no hook but LSM sees the
 * file open. Yet the last fput() of a task frees nothing by itself: it leaves the
 * file on the task's list of works, which is done on the way back to user space.
 * There it is still, at sched_prepare_exec, before the exec adds works of its own.
 *
 * Hook: tp_btf sched_prepare_exec (6.10). Without it, a script matches no rule.
 */
#include "binary.h"

#define MAX_WORKS 16

/* The work of a released file. */
extern void ____fput __ksym;

/*
 * The one file that task has released since it left user space; 0 if there are
 * several. A page fault on an argument can release a file of the pod's choice, so
 * neither the first nor the last can be told to be the script.
 */
static __always_inline struct file *released(struct task_struct *task)
{
	struct callback_head *work = task->task_works;
	struct file *found = 0;

	for (int i = 0; i < MAX_WORKS; i++) {
		if (!work)
			return found;
		if ((__u64)work->func == (__u64)&____fput) {
			if (found)
				return 0;
			found = cast((void *)work - bpf_core_field_offset(struct file, f_task_work), struct file);
		}
		work = work->next;
	}
	return 0;
}

SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(script_exec, struct task_struct *task, struct linux_binprm *bprm)
{
	struct file *file;

	if (bprm->interp == bprm->filename || bprm->executable) /* binfmt_misc kept that one */
		return 0;
	file = released(task);
	if (file)
		note_script(task, bprm, file);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
