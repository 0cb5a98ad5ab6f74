#!/usr/bin/env bash
# Becomes systemd, process 1 of a throw-away copy of this machine: boot.sh DIRECTORY CGROUP
#
#   /                an overlay: this machine's file system below, memory above
#   /sys/fs/cgroup   cgroup2, from CGROUP on
#   units            none of this machine's are wanted, but for the journal
#
# To be started as process 1 of new PID, mount, IPC and UTS namespaces, in the network it shall have.
set -euo pipefail
layer=$1 cgroup=$2
if [ "${3:-}" != joined ]; then
    echo 0 >"$cgroup/cgroup.procs"
    exec unshare --cgroup -- bash "$0" "$layer" "$cgroup" joined
fi

mount --make-rprivate /
mount -t tmpfs none "$layer"
mkdir "$layer"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
cd "$layer/root"
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp

# As systemd asks of whoever makes a container: what is the host's cannot be written, its own network can.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none dev/pts
mount -t tmpfs none dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin && ln -s fd/1 dev/stdout && ln -s fd/2 dev/stderr

# Nothing but the journal, and what the trial asks for.
rm -rf etc/systemd/system/* lib/systemd/system/*.wants lib/systemd/system-generators/*
mkdir -p etc/systemd/system/sysinit.target.wants
ln -s /lib/systemd/system/systemd-journald.service etc/systemd/system/sysinit.target.wants/
: >etc/fstab
# Seconds for an index of man pages that nobody asks.
sed -i '/ man-db/d' var/lib/dpkg/triggers/File

pivot_root . .
umount -l .
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=hacluster-trial \
    /lib/systemd/systemd --system --unit=multi-user.target --show-status=0 </dev/null
