// SPDX-License-Identifier: Apache-2.0

package oracle

//go:generate go tool bpf2go -target bpfel -no-global-types -type query judge judge.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types -type act_query act act.bpf.c
