/**
 * Prints what tests may have left behind on this machine, one thing per line: namespaces of processes that are gone, and
 * kernel programs that no living process holds (attached by tc, pinned). Run as `bun leftovers.ts`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { abandonedNamespaces } from "../../src/demo/network.ts";

function heldPrograms(): Set<string> {
  const held = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const fd of entries(`/proc/${pid}/fdinfo`)) {
      for (const [, id] of read(`/proc/${pid}/fdinfo/${fd}`).matchAll(/^prog_id:\s+(\d+)/gm)) held.add(id!);
    }
  }
  return held;
}

/** Names in a directory; none if the process it belongs to has just ended. */
function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

const listed = Bun.spawnSync(["bpftool", "-j", "prog", "show"]).stdout.toString() || "[]";
const held = heldPrograms();
for (const { id, type, name } of JSON.parse(listed) as { id: number; type: string; name?: string }[]) {
  if (!held.has(`${id}`)) console.log(`program ${id} ${type} ${name ?? ""}`);
}
for (const name of abandonedNamespaces()) console.log(`namespace ${name}`);
