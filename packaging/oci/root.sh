#!/usr/bin/env bash
# Packs what a container of xcopy has, and no more, as a tar: the executable, the C library that it runs on (Debian 12's), and places
# for what it writes.
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/oci/root.sh EXECUTABLE x64|arm64 OUTPUT
set -euo pipefail
executable=$(realpath "$1") architecture=$2 output=$(realpath -m "$3")
cd "$(dirname "$0")/../.."
umask 022

case $architecture in
  x64) debian=amd64 triple=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 ;;
  arm64) debian=arm64 triple=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 ;;
  *) echo "Cannot make an image for \"$architecture\": Give x64 or arm64." >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
bin/debian bookworm "$debian" "$scratch/debian" libc6

install -D -m 755 "$executable" "$root/usr/bin/xcopy"
install -D -m 755 "$scratch/debian/lib/$triple/${loader##*/}" "$root/$loader"
for library in libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2; do
  install -D -m 644 "$scratch/debian/lib/$triple/$library" "$root/lib/$triple/$library"
done
install -D -m 644 "$scratch/debian/usr/share/doc/libc6/copyright" "$root/usr/share/doc/libc6/copyright"
install -d "$root"/{etc,run,proc,sys,dev}
install -d -m 1777 "$root/tmp"
echo 'root:x:0:0:root:/:/usr/bin/xcopy' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"

tar -C "$root" --create --file="$output" --sort=name --format=posix --pax-option=delete=atime,delete=ctime \
  --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner .
