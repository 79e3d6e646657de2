// SPDX-License-Identifier: Apache-2.0

package process

//go:generate go tool bpf2go -target bpfel -no-global-types process process.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types script script.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types tasks tasks.bpf.c
