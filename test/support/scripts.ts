/** The small clients and services of this directory, run in a namespace. */
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import type { Running } from "./process.ts";

/** Starts one of them by the name of its file ("sink.ts"). */
export function startScript(lab: Lab, namespace: string, file: string, ...args: string[]): Running {
  return lab.start(namespace, [process.execPath, join(import.meta.dir, file), ...args]);
}

/** Starts a service that prints "listening", and resolves when it listens. */
export async function startService(
  lab: Lab,
  namespace: string,
  file: string,
  ...args: string[]
): Promise<Running> {
  const service = startScript(lab, namespace, file, ...args);
  await service.line(/^listening/);
  return service;
}
