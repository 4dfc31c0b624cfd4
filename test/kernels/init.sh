#!/busybox sh
# shellcheck shell=dash
# The first process of the virtual machines of bin/test-kernels: what every system has, then /xcopy/run.sh, then off.
/busybox mkdir -p /commands
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sys /sys
/busybox mount -t devtmpfs dev /dev
/busybox mkdir -p /dev/pts /dev/shm
/busybox mount -t devpts pts /dev/pts
/busybox mount -t tmpfs tmp /tmp
/busybox mount -t tmpfs run /run
/busybox mkdir -p /run/lock
/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/busybox mount -t bpf bpf /sys/fs/bpf
/busybox --install -s /commands
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/commands HOME=/root
echo /sbin/modprobe >/proc/sys/kernel/modprobe
ip link set lo up
# Lines for bin/test-kernels begin with @; the rest of the console is for people.
echo "@booted $(uname -r)"
sh /xcopy/run.sh
echo "@ended $?"
sync
/busybox poweroff -f
