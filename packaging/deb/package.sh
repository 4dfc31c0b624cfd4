#!/usr/bin/env bash
# Makes DIRECTORY/xcopy_VERSION_ARCHITECTURE.deb.
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/deb/package.sh EXECUTABLE x64|arm64 VERSION DIRECTORY [DPKG-DEB-OPTION...]
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
executable=$(realpath "$1") architecture=$2 version=$3 output=$(realpath "$4")
# Debian 11 knows no zstd. A higher level takes four times as long to save a twelfth.
options=("${@:5}")
((${#options[@]})) || options=(-Zxz -z3)
cd "$(dirname "$0")/../.."
export SOURCE_DATE_EPOCH

case $architecture in
  x64) debian=amd64 ;;
  arm64) debian=arm64 ;;
  *) echo "Cannot make a .deb for \"$architecture\": Give x64 or arm64." >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
packaging/stage.sh "$executable" "$architecture" "$version" "$root"

# Debian wants a changelog with every package.
{
  printf 'xcopy (%s) stable; urgency=medium\n\n  * Version %s.\n\n' "$version" "$version"
  printf ' -- the xcopy authors <noreply@xcopy.invalid>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$root/usr/share/doc/xcopy/changelog.gz"
install -D -m 644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/xcopy"
mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/"; done
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find usr etc -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed "s/@version@/$version/; s/@architecture@/$debian/; s/@size@/$size/" packaging/deb/control >"$root/DEBIAN/control"
chmod 644 "$root"/DEBIAN/{conffiles,md5sums,control}
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group "${options[@]}" --build "$root" "$output/xcopy_${version}_$debian.deb" >/dev/null
