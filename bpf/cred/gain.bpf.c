//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* gain_of and lower behind a program that a test can call. */
#include "gain.h"

struct trial {
	struct creds base;
	struct creds now;
	__u32 gain;
	__u32 _pad;
};

struct trial *_trial __attribute__((unused));

SEC("syscall")
int try_gain(struct trial *t)
{
	struct creds base = t->base, now = t->now;

	t->gain = gain_of(&base, &now);
	if (!t->gain)
		lower(&base, &now);
	t->base = base;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
