#!/usr/bin/busybox sh
# shellcheck shell=dash
# The first process of the virtual machines of bin/test-kernels: what every system has, then /xcopy/run.sh, then off.
bb=/usr/bin/busybox
[ -e $bb ] || bb=/bin/busybox
$bb mkdir -p /commands
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
$bb mkdir -p /dev/pts /dev/shm
$bb mount -t devpts pts /dev/pts
$bb mount -t tmpfs tmp /tmp
$bb mount -t tmpfs run /run
$bb mkdir -p /run/lock
$bb mount -t cgroup2 cgroup /sys/fs/cgroup
$bb mount -t bpf bpf /sys/fs/bpf
$bb --install -s /commands
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/commands HOME=/root
echo /sbin/modprobe >/proc/sys/kernel/modprobe
ip link set lo up
# Lines for bin/test-kernels begin with @; the rest of the console is for people.
echo "@booted $(uname -r)"
sh /xcopy/run.sh
echo "@ended $?"
sync
$bb poweroff -f
