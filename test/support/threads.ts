/** What each thread of a process may do, as /proc says. */
import { readdirSync, readFileSync } from "node:fs";

export interface ThreadPrivileges {
  name: string;
  /** Sets of capabilities, as /proc writes them. */
  effective: string;
  permitted: string;
  inheritable: string;
  bounding: string;
  ambient: string;
  noNewPrivileges: boolean;
  /** Whether a filter of system calls is on it. */
  isFiltered: boolean;
  /** Real, effective, saved and file system user id. */
  users: string;
}

export function privilegesOf(pid: number): ThreadPrivileges[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    const set = (name: string) => field(`Cap${name}`).replace(/^0+(?=.)/, "");
    return {
      name: field("Name"),
      effective: set("Eff"),
      permitted: set("Prm"),
      inheritable: set("Inh"),
      bounding: set("Bnd"),
      ambient: set("Amb"),
      noNewPrivileges: field("NoNewPrivs") === "1",
      isFiltered: field("Seccomp") === "2",
      users: field("Uid").replaceAll("\t", " "),
    };
  });
}

/** What all threads have in common; an error where they differ. */
export function privilegesOfAll(pid: number): Omit<ThreadPrivileges, "name"> {
  const [first, ...others] = privilegesOf(pid).map(({ name: _, ...rest }) => rest);
  for (const other of others) {
    if (!Bun.deepEquals(first, other)) throw new Error(`Threads differ: ${JSON.stringify([first, other])}`);
  }
  return first!;
}
