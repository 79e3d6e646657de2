// SPDX-License-Identifier: Apache-2.0

package file

//go:generate go tool bpf2go -target bpfel -no-global-types file file.bpf.c
//go:generate go tool bpf2go -target bpfel -no-global-types opened opened.bpf.c
