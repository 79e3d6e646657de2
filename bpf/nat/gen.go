// SPDX-License-Identifier: Apache-2.0

package nat

//go:generate go tool bpf2go -target bpfel -no-global-types nat nat.bpf.c
