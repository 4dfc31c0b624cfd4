#!/usr/bin/env bash
# Makes dist/service/RELEASE: a Debian with systemd, its kernel and the tools of a small lab, as the disk of a virtual machine. Does nothing
# where it is up to date.
# usage: test/service/image.sh bookworm|trixie
set -euo pipefail
release=$1
cd "$(dirname "$0")/../.."

image=dist/service/$release
[[ -z $(find "$image/disk" -newer test/service/image.sh -mtime -30 2>/dev/null) ]] || exit 0
echo "making a disk of Debian $release" >&2
mkdir -p dist/service
scratch=$(mktemp -d dist/service/making.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root

packages=linux-image-cloud-amd64,initramfs-tools,systemd,systemd-sysv,kmod,iproute2,procps,nginx-light,curl,libpcap0.8
[[ $release == bookworm ]] || packages=${packages/libpcap0.8/libpcap0.8t64}
debootstrap --variant=minbase --include="$packages" "$release" "$root" "${XCOPY_DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$scratch/log" 2>&1 ||
  { tail -20 "$scratch/log" >&2; exit 1; }
echo host >"$root/etc/hostname"
# The second disk has what is tried: packages and scripts.
printf '/dev/vda / ext4 defaults 0 1\n/dev/vdb /tried ext4 ro 0 0\n' >"$root/etc/fstab"
mkdir "$root/tried"
# The network is there before what wants it, as on a host; what is tried comes last.
cat >"$root/etc/systemd/system/lab.service" <<'END'
[Unit]
Before=network-online.target
RequiresMountsFor=/tried
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/tried/lab.sh
[Install]
WantedBy=network-online.target
END
cat >"$root/etc/systemd/system/life.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/tried/life.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
END
chroot "$root" systemctl --quiet enable lab life
chroot "$root" systemctl --quiet disable nginx apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
chroot "$root" systemctl --quiet mask serial-getty@ttyS0.service
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

mkdir "$scratch/image"
cp "$root"/boot/vmlinuz-* "$scratch/image/vmlinuz"
cp "$root"/boot/initrd.img-* "$scratch/image/initrd"
truncate -s 4G "$scratch/image/disk"
mke2fs -q -t ext4 -d "$root" "$scratch/image/disk"
rm -rf "$image"
mv "$scratch/image" "$image"
