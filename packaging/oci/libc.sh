#!/usr/bin/env bash
# Puts the C library that an image's executable runs on, Debian 12's, into dist/libc/ARCHITECTURE, and does nothing where it is there.
# usage: packaging/oci/libc.sh x64|arm64
set -euo pipefail
cd "$(dirname "$0")/../.."

case ${1-} in
  x64) debian=amd64 triple=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 ;;
  arm64) debian=arm64 triple=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 ;;
  *) echo "usage: packaging/oci/libc.sh x64|arm64" >&2; exit 2 ;;
esac
output=dist/libc/$1
[[ ! -d $output || packaging/oci/libc.sh -nt $output ]] || exit 0
umask 022
mkdir -p dist/libc
scratch=$(mktemp -d dist/libc.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
bin/debian bookworm "$debian" "$scratch/debian" libc6

root=$scratch/root
install -D -m 755 "$scratch/debian/lib/$triple/${loader##*/}" "$root/$loader"
for library in libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2; do
  install -D -m 644 "$scratch/debian/lib/$triple/$library" "$root/lib/$triple/$library"
done
install -D -m 644 "$scratch/debian/usr/share/doc/libc6/copyright" "$root/usr/share/doc/libc6/copyright"
rm -rf "$output"
mv -T "$root" "$output"
