#!/bin/bash
# In the virtual machine: a client and a target as network namespaces beside production, and nginx as production and target.
set -euo pipefail

host() { # host NAME NETWORK: a namespace that is .2 of the network, of which this host is .1
  ip netns add "$1"
  ip link add "$1" type veth peer name net0 netns "$1"
  ip address add "$2.1/24" dev "$1"
  ip link set "$1" up
  ip -n "$1" address add "$2.2/24" dev net0
  ip -n "$1" link set net0 up
  ip -n "$1" link set lo up
  ip -n "$1" route add default via "$2.1"
}
host client 10.1.0
host target 10.0.0

serve() { # serve NAME PORT: nginx with a log of its own, /run/NAME/access.log
  mkdir -p "/run/$1"
  cat >"/run/$1/nginx.conf" <<END
user root;
pid /run/$1/nginx.pid;
error_log /run/$1/error.log;
events {}
http {
  log_format path '\$request_uri';
  access_log /run/$1/access.log path;
  server { listen $2; location / { return 200 "$1\n"; } }
}
END
  # Without the sandbox of lab.service, which ends.
  systemd-run --quiet --unit="nginx-$1" --property=Type=forking ${3:+--property=NetworkNamespacePath=/run/netns/$3} \
    nginx -e "/run/$1/error.log" -c "/run/$1/nginx.conf"
}
serve production 80
serve copy 8080 target
