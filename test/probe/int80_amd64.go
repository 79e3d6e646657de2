// SPDX-License-Identifier: Apache-2.0

package main

const hasInt80 = true

// int80 makes a system call by the entry for 32-bit programs.
func int80(number, a, b, c uintptr) uintptr
