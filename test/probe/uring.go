// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/io_uring.h; x/sys has none of it.
const (
	offSQRing, offCQRing, offSQEs = 0, 0x8000000, 0x10000000
	opConnect, opSend, opRecv     = 16, 26, 27
	enterGetEvents                = 1
)

type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

type submission struct {
	opcode, flags byte
	ioprio        uint16
	fd            int32
	off, addr     uint64
	len, rwFlags  uint32
	_             [32]byte
}

type completion struct {
	_     uint64
	res   int32
	flags uint32
}

// ring is an io_uring of which one call at a time is made.
type ring struct {
	fd     int
	params ringParams
	sq, cq []byte
	sqes   []byte
}

func newRing() (*ring, error) {
	r := &ring{}
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&r.params)), 0)
	if e != 0 {
		return nil, fmt.Errorf("%w: io_uring_setup: %v", errCannot, e)
	}
	r.fd = int(fd)
	p := &r.params
	for _, m := range []struct {
		to   *[]byte
		at   int64
		size uint32
	}{
		{&r.sq, offSQRing, p.sq.array + p.sqEntries*4},
		{&r.cq, offCQRing, p.cq.cqes + p.cqEntries*uint32(unsafe.Sizeof(completion{}))},
		{&r.sqes, offSQEs, p.sqEntries * uint32(unsafe.Sizeof(submission{}))},
	} {
		b, err := unix.Mmap(r.fd, m.at, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return nil, os.NewSyscallError("mmap", err)
		}
		*m.to = b
	}
	return r, nil
}

// word is a shared word of a ring.
func word(b []byte, at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[at])) }

// call submits one request and waits for its end.
func (r *ring) call(s submission) (int32, error) {
	p := &r.params
	tail := atomic.LoadUint32(word(r.sq, p.sq.tail))
	slot := tail & *word(r.sq, p.sq.mask)
	*(*submission)(unsafe.Pointer(&r.sqes[slot*uint32(unsafe.Sizeof(s))])) = s
	*word(r.sq, p.sq.array+slot*4) = slot
	atomic.StoreUint32(word(r.sq, p.sq.tail), tail+1)
	submit := uintptr(1)
	for {
		n, _, e := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), submit, 1, enterGetEvents, 0, 0)
		if e != 0 && e != unix.EINTR {
			return 0, fmt.Errorf("io_uring_enter: %v", e)
		}
		if e == 0 {
			submit -= n
		}
		head := atomic.LoadUint32(word(r.cq, p.cq.head))
		if head == atomic.LoadUint32(word(r.cq, p.cq.tail)) {
			continue
		}
		at := p.cq.cqes + (head&*word(r.cq, p.cq.mask))*uint32(unsafe.Sizeof(completion{}))
		res := (*completion)(unsafe.Pointer(&r.cq[at])).res
		atomic.StoreUint32(word(r.cq, p.cq.head), head+1)
		if res < 0 {
			return 0, syscall.Errno(-res)
		}
		return res, nil
	}
}

// uringDial connects, sends and receives without the system calls of that name.
func uringDial(args []string) error {
	t, err := newTarget("tcp", args[0])
	if err != nil {
		return err
	}
	r, err := newRing()
	if err != nil {
		return err
	}
	fd, err := t.socket()
	if err != nil {
		return err
	}
	// Requests have no timeout of their own.
	time.AfterFunc(defaultTimeout(), func() {
		fmt.Fprintln(os.Stderr, "uring-dial: timed out")
		os.Exit(exitTimeout)
	})
	message := []byte("probe")
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&t.name)
	pin.Pin(&message[0])
	for _, s := range []submission{
		{opcode: opConnect, addr: uint64(uintptr(unsafe.Pointer(&t.name))), off: uint64(t.length)},
		{opcode: opSend, addr: uint64(uintptr(unsafe.Pointer(&message[0]))), len: uint32(len(message))},
		{opcode: opRecv, addr: uint64(uintptr(unsafe.Pointer(&message[0]))), len: uint32(len(message))},
	} {
		s.fd = int32(fd)
		n, err := r.call(s)
		if err != nil {
			return fmt.Errorf("request %d: %w", s.opcode, err)
		}
		if s.opcode == opRecv && n == 0 {
			return errors.New("connection closed")
		}
	}
	fmt.Println("ok")
	return nil
}
