#!/bin/sh
# start.sh CGROUP... -- {MOUNTPOINT TYPE OPTIONS}... -- COMMAND...: runs COMMAND as on
# a machine of its own. It is in the cgroups given and sees them as the roots of
# their hierarchies; its mounts end with it.
set -e
if [ "$1" != inside ]; then
	while [ "$1" != -- ]; do
		echo $$ > "$1/cgroup.procs"
		shift
	done
	shift
	exec unshare --mount --cgroup -- sh "$0" inside "$@"
fi
shift
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
# A mount shows the cgroups as of when it was made: make them anew.
umount -R /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while [ "$1" != -- ]; do
	mkdir -p "$1"
	mount -t "$2" -o "$3" cgroup "$1"
	shift 3
done
shift
exec "$@"
