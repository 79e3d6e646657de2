// SPDX-License-Identifier: Apache-2.0

package cred

//go:generate go tool bpf2go -target bpfel -no-global-types cred cred.bpf.c
