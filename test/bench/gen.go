// SPDX-License-Identifier: Apache-2.0

package main

//go:generate go tool bpf2go -target bpfel -no-global-types floor floor.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types writer writer.bpf.c
