#!/bin/sh
# install.sh: the container runtime of the tests, from Debian's packages; no service
# is started. Where it cannot, the tests say so and skip.
PATH=$PATH:/usr/sbin:/sbin
need=
for pair in containerd:containerd ctr:containerd runc:runc busybox:busybox-static; do
	command -v "${pair%:*}" > /dev/null || need="$need ${pair#*:}"
done
[ -n "$need" ] || exit 0
[ "$(id -u)" = 0 ] || exec sudo sh "$0"
if [ ! -e /usr/sbin/policy-rc.d ]; then
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words
apt-get update -qq && apt-get install -y -qq --no-install-recommends $need ||
	echo "test/cri:$need could not be installed: its tests will be skipped" >&2
