#!/usr/bin/env bash
# Lays out the files of a package in a directory, which are the same in a .deb and a .rpm, all of the time SOURCE_DATE_EPOCH.
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/stage.sh EXECUTABLE x64|arm64 VERSION DIRECTORY
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
executable=$(realpath "$1") architecture=$2 version=$3 root=$(realpath -m "$4")
cd "$(dirname "$0")/.."

put() { install -D -m 644 "$1" "$root/$2"; }

mkdir -p "$root"
install -D -m 755 "$executable" "$root/usr/bin/xcopy"
for unit in packaging/systemd/*.service; do put "$unit" "usr/lib/systemd/system/${unit##*/}"; done
put packaging/sysusers.d/xcopy.conf usr/lib/sysusers.d/xcopy.conf
put packaging/logrotate.d/xcopy etc/logrotate.d/xcopy
for example in packaging/config/*.example; do put "$example" "etc/xcopy/${example##*/}"; done
chmod 750 "$root/etc/xcopy"
put packaging/README.md usr/share/doc/xcopy/README.md
{
  cat packaging/copyright
  sed '1,4d; s/^$/./; s/^/ /' LICENSE
} >"$root/usr/share/doc/xcopy/copyright"
put docs/grafana/xcopy.json usr/share/doc/xcopy/grafana.json
node_modules/.bin/bun packaging/shell.ts "$root"
node_modules/.bin/bun packaging/sbom/main.ts "$executable" "$architecture" "$version" >"$root/usr/share/doc/xcopy/xcopy.spdx.json"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
