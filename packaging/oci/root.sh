#!/usr/bin/env bash
# Packs what a container of xcopy has, and no more, as a tar: the executable, the C library that it runs on (Debian 12's), and places
# for what it writes.
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/oci/root.sh EXECUTABLE x64|arm64 OUTPUT
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
executable=$(realpath "$1") architecture=$2 output=$(realpath -m "$3")
cd "$(dirname "$0")/../.."

packaging/oci/libc.sh "$architecture"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
cp -r "dist/libc/$architecture" "$root"
install -D -m 755 "$executable" "$root/usr/bin/xcopy"
install -d "$root"/{etc,run,proc,sys,dev}
install -d -m 1777 "$root/tmp"
echo 'root:x:0:0:root:/:/usr/bin/xcopy' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"

tar -C "$root" --create --file="$output" --sort=name --format=posix --pax-option=delete=atime,delete=ctime \
  --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner .
