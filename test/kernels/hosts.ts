/** Hosts that give xcopy less than it would like, each on one kernel. */

export interface Host {
  name: string;
  kernel: string;
  /** Words on the kernel's command line. */
  append?: string;
  /** What the shell does before the tests. They do not begin if its last command fails. */
  prepare?: string;
  /** The command that runs xcopy. */
  wrapper?: string;
  /** The command that runs the tests, and so their hosts too. */
  inside?: string;
}

/** CAP_PERFMON and CAP_BPF by number: setpriv of Debian 11 does not know their names. */
const CAPABILITIES = ["net_raw", "net_admin", "cap_38", "cap_39"];

/** A command that runs another as nobody with some capabilities. */
function asNobody(capabilities: string[]): string {
  const set = capabilities.map((name) => `+${name}`).join(",");
  return `setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all,${set} --ambient-caps=-all,${set} --bounding-set=-all,${set}`;
}

function lockedDown(kernel: string, level: string): Host {
  const file = "/sys/kernel/security/lockdown";
  const prepare = `mount -t securityfs none /sys/kernel/security; grep -F '[${level}]' ${file}`;
  return { name: `lockdown=${level}`, kernel, append: `lockdown=${level}`, prepare };
}

export const HOSTS: Host[] = [
  lockedDown("6.12", "integrity"),
  lockedDown("6.1", "confidentiality"),
  {
    name: "no BTF",
    kernel: "6.1",
    prepare: "mount -t tmpfs none /sys/kernel/btf; [ ! -e /sys/kernel/btf/vmlinux ]",
  },
  {
    name: "no libbpf, no libpcap",
    kernel: "6.12",
    // From xcopy alone: ip is linked with libbpf.
    prepare: `cat >/xcopy/bin/hide <<'END'
#!/bin/sh
for file in $(find /usr/lib -name 'libbpf.so*' -o -name 'libpcap.so*' -o -name 'libelf*.so*'); do mount --bind /dev/null "$file"; done
exec "$@"
END
chmod +x /xcopy/bin/hide`,
    wrapper: "unshare --mount /xcopy/bin/hide",
  },
  { name: "/sys/fs/bpf not mounted", kernel: "5.10", prepare: "umount /sys/fs/bpf" },
  {
    name: "read-only root, /tmp noexec",
    kernel: "6.1",
    prepare: "mount -o remount,noexec /tmp; mount -o remount,ro /; ! touch /here",
  },
  {
    name: "cgroup v1",
    kernel: "5.10",
    prepare:
      "umount /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/cpu; mount -t cgroup -o cpu none /sys/fs/cgroup/cpu",
  },
  {
    name: "user with the documented capabilities",
    kernel: "6.1",
    wrapper: asNobody(CAPABILITIES),
  },
  {
    name: "the same with hidepid=2",
    kernel: "5.10",
    prepare: "mkdir -m 777 /run/xcopy; ulimit -l unlimited; mount -o remount,hidepid=2 /proc",
    wrapper: asNobody(CAPABILITIES),
  },
  {
    name: "user with CAP_NET_RAW and CAP_NET_ADMIN only",
    kernel: "6.12",
    prepare: "mkdir -m 777 /run/xcopy",
    wrapper: asNobody(["net_raw", "net_admin"]),
  },
  {
    name: "container (systemd-nspawn: network namespace, seccomp)",
    kernel: "6.1",
    prepare: [
      "mkdir -p /container/tmp /container/run /container/proc /container/sys /container/dev /container/var/log/nginx",
      "for d in usr bin sbin lib lib64 etc root xcopy commands; do mkdir -p /container/$d; mount --bind /$d /container/$d; done",
      "cp /busybox /container; echo ID=debian >/etc/os-release; echo 0123456789abcdef0123456789abcdef >/etc/machine-id",
    ].join("; "),
    inside: "systemd-nspawn --quiet --register=no --keep-unit --private-network --directory=/container",
  },
];

/** What is tried on them. */
export const RESTRICTED_TESTS =
  "by itself|in front of clsact|return path target|nfqueue|record and replay|UDP";
