// SPDX-License-Identifier: Apache-2.0

package lsm

//go:generate go tool bpf2go -target bpfel -no-global-types lsm lsm.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types touch touch.bpf.c
