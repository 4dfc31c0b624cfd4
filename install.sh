#!/bin/sh
# Installs xcopy, or removes it:
#
#   curl -fsSL URL/install.sh | sh
#   curl -fsSL URL/install.sh | sh -s -- --uninstall
#
# Nothing runs before the last line: a download that was cut short does nothing.
set -eu

# The releases page; bin/release writes it in here.
release_url=''

newline='
'

usage() {
  cat <<'END'
Installs the executable xcopy, or removes it.

usage: install.sh [--uninstall | --help]

  --uninstall  remove what xcopy left in the kernel, and the executable
  --help       print this text

environment:
  XCOPY_INSTALL_DIR  where the executable goes (default: /usr/local/bin)
  XCOPY_VERSION      the version to install, such as 0.1.0 (default: the latest)
  XCOPY_BASE_URL     where to load it from: a directory with latest/download/ and download/vVERSION/ below it
END
}

# fail MESSAGE FIX
fail() {
  printf '%s\n%s\n' "$1" "$2" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# Prints the name of the release's file for this machine.
file_for_this_machine() {
  [ "$(uname -s)" = Linux ] || fail "Cannot install xcopy on \"$(uname -s)\": it needs Linux" "Run it on the host whose traffic is to be copied."
  case $(uname -m) in
    x86_64 | amd64) echo xcopy-linux-x64 ;;
    aarch64 | arm64) echo xcopy-linux-arm64 ;;
    *) fail "Cannot install xcopy on \"$(uname -m)\": there is no executable for it" "Use a host with an x86-64 or 64-bit ARM processor." ;;
  esac
}

# Refuses a host whose C library does not run the executable, and goes on where none says what it is.
require_glibc() {
  fix='The executable needs glibc 2.31 or newer, as in Debian 11, Ubuntu 20.04 or RHEL 9: use such a host.'
  # "glibc 2.36"; "ldd (Debian GLIBC 2.36-9) 2.36" and more lines; musl's ldd fails with "musl libc (x86_64)" and more lines.
  said=$(getconf GNU_LIBC_VERSION 2>/dev/null) || said=$(ldd --version 2>&1) || true
  said=${said%%"$newline"*}
  case $said in
    'musl libc'*) fail "Cannot install xcopy on this host: its C library is musl" "$fix" ;;
    *' '[0-9]*.[0-9]*) version=${said##* } ;;
    *) return 0 ;;
  esac
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%[!0-9]*}
  case $major:$minor in
    2:[0-9] | 2:[12][0-9] | 2:30 | [01]:*) fail "Cannot install xcopy on this host: its glibc is $version" "$fix" ;;
  esac
}

# Prints the address of the directory that holds the release's files.
release_directory() {
  base=${XCOPY_BASE_URL:-$release_url}
  base=${base%/}
  version=${XCOPY_VERSION:-}
  version=${version#v}
  case $base in
    http://* | https://*) ;;
    '') fail "Cannot install xcopy: nothing says where to load it from" "Set XCOPY_BASE_URL, for example XCOPY_BASE_URL=https://mirror.example/xcopy" ;;
    *) fail "Cannot use XCOPY_BASE_URL \"$base\": it is not an http or https address" "Set it to the directory that holds latest/download/ and download/." ;;
  esac
  case $version in
    '') echo "$base/latest/download" ;;
    *[!0-9A-Za-z.-]*) fail "Cannot use XCOPY_VERSION \"$version\": it is not a version" "Write it as in XCOPY_VERSION=0.1.0" ;;
    *) echo "$base/download/v$version" ;;
  esac
}

# download URL FILE
download() {
  if has curl; then
    # What is asked for over TLS must not be redirected to something without it.
    case $1 in https:*) protocols='=https' ;; *) protocols='=http,https' ;; esac
    curl -fsSL --proto "$protocols" -o "$2" "$1" && return
  elif has wget; then
    wget -q -O "$2" "$1" && return
  else
    fail "Cannot load xcopy: there is neither curl nor wget" "Install one of them."
  fi
  fail "Cannot load \"$1\"" "Check the network, XCOPY_BASE_URL and XCOPY_VERSION."
}

# Prints the SHA-256 of a file.
sha256() {
  if has sha256sum; then
    sha256sum "$1" | cut -d ' ' -f 1
  elif has shasum; then
    shasum -a 256 "$1" | cut -d ' ' -f 1
  elif has openssl; then
    openssl dgst -sha256 "$1" | sed 's/.* //'
  else
    fail "Cannot verify xcopy: there is no sha256sum, shasum or openssl" "Install one of them (Debian: coreutils)."
  fi
}

# listed_hash NAME SUMS: the hash of a file in the release's list.
listed_hash() {
  hash=$(awk -v name="$1" '$2 == name || $2 == "*" name { print $1 }' "$2")
  # 64 hexadecimal digits, or it is some other page.
  case $hash in
    *[!0-9a-f]*) hash= ;;
  esac
  [ "${#hash}" -eq 64 ] || fail "Cannot verify xcopy: SHA256SUMS does not list \"$1\"" "Check XCOPY_BASE_URL and XCOPY_VERSION."
  echo "$hash"
}

# verify FILE HASH URL
verify() {
  actual=$(sha256 "$1")
  [ "$actual" = "$2" ] ||
    fail "Cannot install \"$3\": its SHA-256 is $actual, not $2" "Try again; if it stays so, do not trust this source."
}

install_xcopy() {
  file=$(file_for_this_machine)
  require_glibc
  url=$(release_directory)
  has gzip || fail "Cannot unpack xcopy: there is no gzip" "Install it."
  if ! { mkdir -p "$directory" && [ -w "$directory" ]; } 2>/dev/null; then
    fail "Cannot write to \"$directory\"" "Run it as root (sudo), or set XCOPY_INSTALL_DIR to a directory of yours."
  fi
  # In the same directory, so that the last step is a rename: there is never half an executable.
  scratch=$(mktemp -d "$directory/.xcopy.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  download "$url/SHA256SUMS" "$scratch/SHA256SUMS"
  packed_hash=$(listed_hash "$file.gz" "$scratch/SHA256SUMS")
  hash=$(listed_hash "$file" "$scratch/SHA256SUMS")
  if [ -f "$target" ] && [ "$(sha256 "$target")" = "$hash" ]; then
    echo "$("$target" --version) is already installed: $target"
    return
  fi

  echo "loading $url/$file.gz"
  download "$url/$file.gz" "$scratch/xcopy.gz"
  verify "$scratch/xcopy.gz" "$packed_hash" "$url/$file.gz"
  gzip -dc "$scratch/xcopy.gz" >"$scratch/xcopy" || fail "Cannot unpack \"$file.gz\" in \"$directory\"" "Free some space there."
  verify "$scratch/xcopy" "$hash" "$file"
  chmod 755 "$scratch/xcopy"
  name=$("$scratch/xcopy" --version) ||
    fail "Cannot run xcopy on this host: see above" "It needs glibc 2.31 or newer, and on x86-64 a processor with SSE4.2."
  mv -f "$scratch/xcopy" "$target"

  echo "installed $name: $target"
  case ":$PATH:" in
    *":$directory:"*) command=xcopy ;;
    *) command=$target ;;
  esac
  cat <<END
Next, as root:
  $command demo                                     see it work, in network namespaces of its own
  $command copy -x 80-10.0.0.2:8080 --dry-run       see what it would do here
  $command copy -x 80-10.0.0.2:8080                 do it
END
}

uninstall_xcopy() {
  if [ ! -e "$target" ]; then
    echo "xcopy is not installed in $directory"
    return
  fi
  "$target" cleanup || fail "Cannot clean up after xcopy: see above; $target is still there" "Run it as root (sudo)."
  rm -f "$target" 2>/dev/null || fail "Cannot remove \"$target\"" "Run it as root (sudo)."
  echo "removed $target"
}

main() {
  directory=${XCOPY_INSTALL_DIR:-/usr/local/bin}
  target=$directory/xcopy
  case "$#:${1-}" in
    0:) install_xcopy ;;
    1:--uninstall) uninstall_xcopy ;;
    1:--help | 1:-h) usage ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

# In braces, which a shell runs only as a whole.
{ main "$@"; exit; }
