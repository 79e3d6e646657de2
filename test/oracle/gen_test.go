// SPDX-License-Identifier: Apache-2.0

package oracle

//go:generate go tool bpf2go -target bpfel -no-global-types -type query judge judge.bpf.c
