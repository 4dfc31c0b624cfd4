#!/usr/bin/env bash
# Makes all packages of the executables in dist, and adds them to SHA256SUMS.
# usage: packaging/all.sh VERSION DIRECTORY linux-x64|linux-arm64...
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 output=$(realpath "$2")
shift 2

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
bin/setup build release
executables=()
for target; do
  echo "making packages for $target" >&2
  executable=dist/xcopy-$target architecture=${target#linux-}
  packaging/deb/package.sh "$executable" "$architecture" "$version" "$output"
  packaging/rpm/package.sh "$executable" "$architecture" "$version" "$output"
  node_modules/.bin/bun packaging/sbom/main.ts "$executable" "$architecture" "$version" >"$output/xcopy-$target.spdx.json"
  executables+=("$architecture=$executable")
done
echo "making the image" >&2
node_modules/.bin/bun packaging/oci/main.ts "$version" "$output" "${executables[@]}"
cd "$output"
sha256sum -- *.deb *.rpm *.spdx.json *.oci.tar >>SHA256SUMS
