#!/usr/bin/env bash
# Makes DIRECTORY/xcopy-VERSION-1.ARCHITECTURE.rpm, for either architecture on either.
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/rpm/package.sh EXECUTABLE x64|arm64 VERSION DIRECTORY [PAYLOAD]
#   PAYLOAD  how it is compressed, as rpm names it (default: w3.xzdio)
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
executable=$(realpath "$1") architecture=$2 version=$3 output=$(realpath "$4") payload=${5-w3.xzdio}
cd "$(dirname "$0")/../.."
export SOURCE_DATE_EPOCH

case $architecture in
  x64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) echo "Cannot make a .rpm for \"$architecture\": Give x64 or arm64." >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
packaging/stage.sh "$executable" "$architecture" "$version" "$scratch/root"
# Debian has another place for it.
vendor=$scratch/root/usr/share/zsh/vendor-completions
if [[ -d $vendor ]]; then mv "$vendor" "${vendor%/*}/site-functions"; fi

# Where it was made, and when, is not written into it, and settings of whoever makes it count for nothing.
HOME=$scratch rpmbuild --quiet -bb --target "$machine-linux" \
  --define "_topdir $scratch/rpm" --define "_rpmdir $scratch" --define "staged $scratch/root" \
  --define "version $version" --define "_binary_payload $payload" --define "_buildhost reproducible" \
  --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
  packaging/rpm/xcopy.spec >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
mv "$scratch/$machine/xcopy-$version-1.$machine.rpm" "$output/"
