// SPDX-License-Identifier: Apache-2.0

package state

//go:generate go tool bpf2go -target bpfel -no-global-types -type pod -type assignment -type ruleset -type edge -type port_key -type port_set -type doorway -type source -type node_port -type fragment -type behind -type grant -type process_key -type prefix -type former_key -type former -type addr -type program -type path_key -type cgroup_pod -type container -type node -type creds -type proc -type stamp -type flow_key -type flow -type count -type flow_event -type process_event -type standing -type histogram -type exec_event -type escalation_event -type runtime_head -type permit -type file_key -type folder_key -type folder -type act_event -type touched_key -type touched_at -type tally_key -type tally -type bucket_key -type sample_key Raw state.bpf.c
