#!/bin/bash
# In the virtual machine, at each start of it: the next part of the life of the package, whose files are on the second disk. Says
# "@ok WHAT" or "@failed WHAT" to the console, and "@end" in front of the last power-off.
set -uo pipefail
unit=xcopy-copy@shop.service
state=/root/part
part=$(cat "$state" 2>/dev/null || echo install)
export DEBIAN_FRONTEND=noninteractive

check() { # check WHAT COMMAND...
  local what=$1 said
  shift
  if said=$("$@" 2>&1); then echo "@ok $what"; else
    echo "@failed $what: $said"
    journalctl --no-pager -n 20 -u "$unit"
  fi
}
wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}
property() { systemctl show "$unit" --property "$1" --value; }
# Both asked at once: between two questions one run ends and the next begins.
runs_anew() { # runs_anew PID: as another process
  local state
  state=$(systemctl show "$unit" --property ActiveState,MainPID)
  [[ $state == *ActiveState=active* && $state =~ MainPID=([0-9]+) && ${BASH_REMATCH[1]} != 0 && ${BASH_REMATCH[1]} != "$1" ]]
}
arrived() { [[ $(grep -c "^/$1/" /run/copy/access.log) == "$2" ]]; }
ask() { # ask NAME COUNT: from the client; each is answered
  ip netns exec client curl -sf -o /dev/null "http://10.1.0.1/$1/[1-$2]"
}
# Each of 20 requests arrives at the copy once.
copies() { ask "$1" 20 && wait_for 60 arrived "$1" 20; }
# All files but books of the system and what nginx makes.
files() {
  find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /tried -o -path /root -o -path /var/lib/dpkg -o -path /var/cache \
    -o -path /var/log -o -path /var/lib/systemd -o -path /var/lib/nginx \) -prune -o -print | grep -v '^/etc/\(passwd\|group\|gshadow\|shadow\)-$' | sort
}

# shellcheck disable=SC1091
echo "@booted $part, Linux $(uname -r), systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'), $(. /etc/os-release && echo "$PRETTY_NAME")"

case $part in
  install)
    files >/root/before
    nft list ruleset >/root/rules 2>/dev/null
    check "the package is installed" dpkg -i /tried/first.deb
    check "nothing is started" test -z "$(systemctl list-units --plain --no-legend 'xcopy*')"
    echo -e '[copy]\ntransfer = ["80-10.0.0.2:8080"]' >/etc/xcopy/shop.toml
    check "the service starts" systemctl enable --now "$unit"
    check "it runs as its own user" test "$(ps -o user= -p "$(property MainPID)")" = xcopy
    check "it copies" copies started

    pid=$(property MainPID)
    ip netns exec client curl -sf -o /dev/null --rate 20/s "http://10.1.0.1/meanwhile/[1-100]" &
    check "it is upgraded as it runs" dpkg -i /tried/second.deb
    check "it is the new version" test "$(dpkg-query -Wf '${Version}' xcopy)" = 9.1.0
    check "it runs anew" wait_for 60 runs_anew "$pid"
    check "no client noticed" wait $!
    check "it copies after the upgrade" copies upgraded

    pid=$(property MainPID)
    kill -9 "$pid"
    check "it is started again after kill -9" wait_for 60 runs_anew "$pid"
    check "it copies after kill -9" copies killed

    pid=$(property MainPID)
    kill -STOP "$pid"
    check "the watchdog starts it again" wait_for 180 runs_anew "$pid"
    check "it copies after the watchdog" copies watched

    pid=$(property MainPID)
    echo 'limit = 1000' >>/etc/xcopy/shop.toml
    check "it is reloaded" systemctl reload "$unit"
    check "it takes the change" wait_for 60 sh -c "journalctl -u $unit | grep -q -e '--limit none -> 1,000/s'"
    check "it is the same process" test "$(property MainPID)" = "$pid"
    check "it copies after the reload" copies reloaded
    echo restarted >"$state"
    systemctl reboot
    ;;
  restarted)
    check "it is up after a restart of the host" wait_for 60 runs_anew 0
    check "it copies after the restart" copies restarted
    check "it is removed" dpkg -r xcopy
    check "it is purged" dpkg -P xcopy
    check "no program is left" test -z "$(pgrep xcopy)"
    check "no file is left" diff /root/before <(files)
    check "no log is left" test ! -e /var/log/xcopy
    check "no user is left" bash -c '! getent passwd xcopy && ! getent group xcopy'
    check "nothing of it in /run" bash -c '! ls -d /run/xcopy* /run/credentials/xcopy* 2>/dev/null'
    check "no filter on the interfaces" test -z "$(for name in lo client target; do tc filter show dev $name ingress; tc filter show dev $name egress; done)"
    rm "$state"
    echo "@end"
    systemctl poweroff
    ;;
esac
