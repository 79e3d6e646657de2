//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opens of files on nodes without BPF LSM, on the way out of the system call that
 * opened: observed, or killed before the process has read or written a byte. What an
 * open creates is there by then. No other use of a file is seen, nor are opens that
 * are no system call of their own: io_uring's, and descriptors that are passed.
 *
 * Hook: tp_btf sys_exit. It costs every system call of the machine, so it is
 * attached only while a rule in force asks for it.
 */
#include "guard.h"

#define FMODE_READ 1 /* include/linux/fs.h */
#define FMODE_WRITE 2
#define FMODE_CREATED (1 << 20)

#define TS_COMPAT 2 /* arch/x86/include/asm/thread_info.h */
#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */
#define X32_BIT 0x40000000

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs___x86 {
	unsigned long orig_ax;
};

struct pt_regs___arm64 {
	int syscallno;
};

struct task_struct___info {
	struct {
		unsigned long flags;
		__u32 status; /* x86 alone */
	} thread_info;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* open, openat, creat, openat2, open_by_handle_at; 0: the machine has no such call. */
static const volatile __u32 opens_x86[] = { 2, 257, 85, 437, 304 }, opens_i386[] = { 5, 295, 8, 437, 342 };
static const volatile __u32 opens_arm64[] = { 0, 56, 0, 437, 265 }, opens_arm[] = { 5, 322, 8, 437, 371 };

/* Is it the number of a call that opens, in one of the machine's two tables? */
static __always_inline bool opens(struct pt_regs *regs)
{
	struct task_struct___info *task = (void *)bpf_get_current_task_btf();
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;
	const volatile __u32 *table;
	__u32 nr;

	if (bpf_core_field_exists(x86->orig_ax)) {
		nr = x86->orig_ax & ~X32_BIT;
		table = task->thread_info.status & TS_COMPAT ? opens_i386 : opens_x86;
	} else {
		nr = arm->syscallno;
		table = task->thread_info.flags >> TIF_32BIT & 1 ? opens_arm : opens_arm64;
	}
	return nr && (nr == table[0] || nr == table[1] || nr == table[2] || nr == table[3] || nr == table[4]);
}

/* The file behind a descriptor of current's; 0: there is none. */
static __always_inline struct file *file_of(long fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct file *file = 0;

	table = cast(table, struct fdtable);
	if (fd < 0 || fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file ? cast(file, struct file) : 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_opened, struct pt_regs *regs, long fd)
{
	struct request q = { .told = OPERATIONS };
	struct file *file;

	if (fd < 0 || !opens(regs))
		return 0;
	file = file_of(fd);
	if (!file)
		return 0;
	q.operations = (file->f_mode & FMODE_READ ? BIT(OP_READ) : 0) |
		       (file->f_mode & FMODE_WRITE ? BIT(OP_WRITE) : 0) |
		       (file->f_mode & FMODE_CREATED ? BIT(OP_CREATE) : 0);
	set_spot(&q.at, file->f_path.dentry, file->f_path.mnt);
	if (q.operations)
		guard(&q);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
