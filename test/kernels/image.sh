#!/usr/bin/env bash
# Makes dist/kernels/NAME: the kernel of a Debian release and an initramfs with its modules, its C library and the tools that
# tests use. Does nothing where it is up to date.
# usage: test/kernels/image.sh NAME RELEASE amd64|arm64
set -euo pipefail
name=$1 release=$2 architecture=$3
cd "$(dirname "$0")/../.."

image=dist/kernels/$name
# As often as Debian makes a new kernel, about.
[[ -z $(find "$image/base.cpio" -newer test/kernels/image.sh -newer test/kernels/init.sh -newer bin/debian -mtime -30 2>/dev/null) ]] || exit 0
echo "making an image of Linux $name" >&2
mkdir -p dist/kernels
scratch=$(mktemp -d dist/kernels/making.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root

# Where /lib and the like are links, packages have them that are no dependency of these.
mkdir -p "$root"/usr/{lib,lib64,bin,sbin}
if [[ $release != bullseye && $release != bookworm ]]; then ln -s usr/{lib,lib64,bin,sbin} "$root"; fi
packages=(
  "linux-image-cloud-$architecture" kmod busybox-static coreutils libc6 libgcc-s1 libstdc++6
  iproute2 ethtool procps util-linux bpftool nftables iptables tcpdump libpcap0.8 nginx-light curl wrk
)
# One of the restricted hosts of hosts.ts is a container.
[[ $release != bookworm ]] || packages+=(systemd-container)
# Since Debian 13 its name says that its time_t has 64 bits.
case $release in trixie | sid) packages=("${packages[@]/libpcap0.8/libpcap0.8t64}") ;; esac
bin/debian --closure "$release" "$architecture" "$root" "${packages[@]}"

version=$(basename "$root"/lib/modules/[0-9]*)
modules=$root/lib/modules/$version
mv "$(find "$root" -name 'vmlinu*' -print -quit)" "$scratch/vmlinuz"
cd "$root"
rm -rf boot var usr/share/{doc,man,locale,i18n,info,perl,zoneinfo,bash-completion,mime} usr/lib/{dracut,udev,python3,systemd,firmware} usr/lib/*/{perl*,gconv}
cd "$OLDPWD"
# The modules that are needed, with what they need.
mkdir "$scratch/modules"
(cd "$modules" && find kernel/net kernel/drivers/net -maxdepth 3 -name '*.ko*' ! -path '*/wireless/*' ! -path '*/ethernet/*' ! -path '*/bluetooth/*') >"$scratch/wanted"
depmod -b "$scratch/root" "$version"
sed 's|.*/||; s|\.ko.*||' "$scratch/wanted" |
  xargs modprobe -d "$PWD/$root" -S "$version" --show-depends -a 2>/dev/null | sed -n 's/^insmod \(\S*\).*/\1/p' | sort -u >"$scratch/needed"
find "$PWD/$modules" -name '*.ko*' | sort | comm -23 - "$scratch/needed" | xargs rm
depmod -b "$scratch/root" "$version"
install test/kernels/init.sh "$root/init"
cp "$(find "$root/bin/" "$root/usr/bin/" -name busybox -print -quit)" "$root/busybox"
[[ -e $root/bin/sh ]] || ln -s /busybox "$root/bin/sh"
# An empty place for what bin/test-kernels adds.
mkdir -p "$root"/{proc,sys,dev,tmp,run,root,etc,var/log/nginx,var/lib/nginx}
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
ln -sfn /proc/mounts "$root/etc/mtab"
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$scratch/base.cpio"
rm -rf "$root"
rm -rf "$image"
mkdir "$image"
mv "$scratch"/{vmlinuz,base.cpio} "$image"
echo "$version" >"$image/version"
