/**
 * Why a block of commands is not run: its fence says `sh not=NAME`. The xcopy commands within it are read all the same
 * (pages.test.ts), options and values.
 */
export const EXCEPTIONS: Record<string, string> = {
  build:
    "bin/build, bin/demo and bin/test: bin/test has built, e2e/demo.test.ts runs the demo, and this is part of bin/test",
  install: "install.sh from a server: install/install.test.ts runs it, with a server of its own",
  bench: "bin/bench takes minutes of a machine of its own",
  docker: "runs a container: a machine that tests has no Docker",
  goreplay: "a command line of GoReplay, which is not ours to run",
  kubernetes: "runs a pod: a machine that tests has no cluster",
  mirror: "reads what a switch mirrors without an end",
  tcpcopy: "command lines of tcpcopy 1.x, for comparison",
  dnf: "installs on a host with dnf, which Debian's is none: packages/rpm.test.ts does so by rpm",
  ssh: "copies a file to another host: there is no sshd in the lab, whose hosts share their files",
};

/** Pages for those who change xcopy: their commands are those of bin/, which no user runs. */
export const DEVELOPERS = [
  "docs/contributing.md",
  ...["map", "recipes", "tests", "failed-tests"].map((name) => `docs/development/${name}.md`),
  "docs/fuzzing.md",
  "docs/performance.md",
  "docs/protocol-modules.md",
];
