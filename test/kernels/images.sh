#!/usr/bin/env bash
# Makes what test/kernels/load.test.ts needs: the tools and the images of the kernels that it boots.
# usage: test/kernels/images.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

bin/setup kernels
for kernel in 5.10:bullseye newest:sid; do
  test/kernels/image.sh "${kernel%:*}" "${kernel#*:}" amd64
done
