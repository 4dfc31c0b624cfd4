#!/usr/bin/env bash
# The first process of a small host of its own: what runs in it sees and counts only what it made itself. Ends what is left
# running in there, and writes what else was left behind, a line each, to the file LEFT.
# usage: setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --mount-proc --net test/runner/apart.sh LEFT COMMAND...
set -u
left=$1
shift
export PATH=$PATH:/usr/sbin:/sbin

mount -t tmpfs -o mode=755 xcopy-test /run || exit 125
# What /sys and /proc/sys/net show is of the network namespace that they were mounted in.
mount -t sysfs sysfs /sys && mount -t bpf bpf /sys/fs/bpf || exit 125
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ip link set lo up || exit 125

"$@"
status=$?

# find_others: what else runs in here, into "others". A zombie, whose parent is about to ask for it, has no command line.
find_others() {
  local entry words
  others=()
  for entry in /proc/[0-9]*; do
    [[ ${entry#/proc/} != "$$" ]] || continue
    words=()
    mapfile -d '' -t words 2>/dev/null <"$entry/cmdline"
    ((${#words[@]} == 0)) || others+=("process ${entry#/proc/}: ${words[*]}")
  done
}

# A process that the command has ended may need a moment to be gone.
for ((attempt = 0; attempt < 50; attempt++)); do
  find_others
  ((${#others[@]})) || break
  sleep 0.1
done
# The guard of a killed intercept goes with the namespaces of its lab. Its record stays, until the next start of xcopy in there.
for record in /run/xcopy/guard-*.json; do
  pid=${record##*-}
  # One that nobody has asked for yet is still listed, but has no command line.
  [[ -n $(tr -d '\0' 2>/dev/null <"/proc/${pid%.json}/cmdline") ]] || rm -f "$record"
done
{
  printf '%s\n' "${others[@]+"${others[@]}"}" | sed '/^$/d'
  find /run/netns /run/xcopy /sys/fs/bpf -mindepth 1 ! -name '*.debug' 2>/dev/null
  bpftool net show dev lo | grep -E '^lo\('
} >"$left"
exit "$status"
