// SPDX-License-Identifier: Apache-2.0

package sock

//go:generate go tool bpf2go -target bpfel -no-global-types sock sock.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types use use.bpf.c
