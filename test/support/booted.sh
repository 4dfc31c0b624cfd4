#!/usr/bin/env bash
# The first process of a booted Debian: this host's own files below layers that make a small system of them, then systemd.
# DIRECTORY/upper gets all that is changed in there; it stays when systemd ends, and is found again by the next start.
# usage: unshare --pid --fork --mount --uts --ipc test/support/booted.sh DIRECTORY [SHARED...]
#   DIRECTORY  a tmpfs, empty but for cgroup (a cgroup of its own), or one of an earlier start
#   SHARED     directories of this host that it sees, at the same places
set -euo pipefail
directory=$1
# systemd takes the cgroup that it is in for the root of all.
if [[ ${2-} != --in-cgroup ]]; then
  echo 0 >"$directory/cgroup/cgroup.procs"
  exec unshare --cgroup "$0" "$directory" --in-cgroup "${@:2}"
fi
shift 2
mount --make-rprivate /

# hide PATH...: these are not there, whatever this host has in them
hide() {
  local path
  for path; do
    mkdir -p "$directory/hidden/$(dirname "$path")"
    mknod "$directory/hidden/$path" c 0 0
  done
}

# Two layers above this host's files, as a character device 0:0 in the first hides what is below it. Of systemd's units none
# starts by itself but the journal: no daemon of this host, no clock, no device. And no xcopy is installed.
if [[ ! -d $directory/upper ]]; then
  mkdir "$directory"/{hidden,own,upper,work,root}
  hide etc/systemd/system usr/lib/systemd/system-generators /usr/lib/systemd/system/*.wants etc/xcopy usr/{,local/}bin/xcopy
  units=$directory/own/usr/lib/systemd/system
  mkdir -p "$directory"/own/etc/systemd/{system,journald.conf.d} "$units"/{sysinit,sockets}.target.wants
  ln -s ../systemd-journald.service "$units/sysinit.target.wants/"
  ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket "$units/sockets.target.wants/"
  ln -s /usr/lib/systemd/system/multi-user.target "$directory/own/etc/systemd/system/default.target"
  printf '[Journal]\nStorage=volatile\n' >"$directory/own/etc/systemd/journald.conf.d/volatile.conf"
  echo 0123456789abcdef0123456789abcdef >"$directory/own/etc/machine-id"
  : >"$directory/own/etc/fstab"
fi

layers=lowerdir=$directory/own:$directory/hidden:/,upperdir=$directory/upper,workdir=$directory/work
mount -t overlay -o "$layers" overlay "$directory/root"
cd "$directory/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 dev dev
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir dev/{pts,shm} run/lock
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"; done
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for shared; do
  mkdir -p ".$shared"
  mount --bind "$shared" ".$shared"
done

hostname booted
pivot_root . mnt
umount -l /mnt
# As in every host, or services do not see what systemd mounts for them (credentials).
mount --make-rshared /
exec env -i container=booted PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd --show-status=false
