// SPDX-License-Identifier: Apache-2.0

package door

//go:generate go tool bpf2go -target bpfel -no-global-types door door.bpf.c
