// SPDX-License-Identifier: Apache-2.0

package capability

//go:generate go tool bpf2go -target bpfel -no-global-types -type span capability capability.bpf.c
