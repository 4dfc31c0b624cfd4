/** Drives mysql-pool.ts. */
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";

export interface Pool {
  /** Resolves when each connection has done so many rounds of three statements. */
  rounds(count: number): Promise<void>;
}

let started = 0;

/** Connects a pool of `size` connections to the service. */
export async function startPool(lab: Lab, user: string, password: string, size: number): Promise<Pool> {
  const socket = join(lab.directory, `pool-${started++}`);
  const words = [ONLINE, user, password, "shop", `${size}`, socket];
  const running = lab.start(lab.client, [process.execPath, join(import.meta.dir, "mysql-pool.ts"), ...words]);
  await running.line(/^ready$/);
  return {
    async rounds(count) {
      const response = await fetch(`http://pool/${count}`, { unix: socket });
      if (!response.ok) throw new Error(`the pool failed:\n${running.errors.join("\n")}`);
    },
  };
}
