#!/bin/busybox sh
# init.sh: the guest's first process. It makes what a node has, runs /commands with
# its output on the second serial port, and powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var /root /mnt
/bin/busybox --install -s /bin 2> /dev/null
ln -s /bin/busybox /sbin/modprobe # the kernel calls it there
ln -s /run /var/run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
modprobe br_netfilter # no name asks the kernel for it
ip link set lo up
hostname guest
stty -F /dev/ttyS1 raw
# The kernel's own root cannot be pivoted away from, as container runtimes do: take
# it once more, as a mount of its own.
mount --rbind / /mnt
cd /mnt || exit 1
mount --move . /
chroot . /bin/sh /commands < /dev/null > /dev/ttyS1 2>&1
sync
poweroff -f
