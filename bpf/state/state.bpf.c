//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps alone: made, pinned and typed here, used by every other object. */
#include "maps.h"

/* Types that no map names. */
struct flow_event *_flow_event __attribute__((unused));
struct process_event *_process_event __attribute__((unused));
struct exec_event *_exec_event __attribute__((unused));
struct escalation_event *_escalation_event __attribute__((unused));
struct act_event *_act_event __attribute__((unused));

char _license[] SEC("license") = "Dual BSD/GPL";
