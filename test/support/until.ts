/** Waits for events that nobody announces: a socket that listens, a program that the kernel has freed. */
import { Patience } from "./patience.ts";

/**
 * Resolves as soon as `condition` gives something true, and returns it. Throws with `what` it waited for after `ms` of a free
 * machine, which is longer on a slow one.
 */
export async function until<T>(
  what: string | (() => string),
  condition: () => T | Promise<T>,
  ms = 10_000,
): Promise<NonNullable<T>> {
  const patience = new Patience(ms);
  for (;;) {
    const begun = performance.now();
    const value = await condition();
    if (value) return value;
    if (patience.isOver())
      throw new Error(`Waited ${patience} in vain: ${typeof what === "string" ? what : what()}`);
    // A condition that starts a program is not asked so often that it takes the CPU from what it waits for.
    await Bun.sleep(Math.max(10, 2 * (performance.now() - begun)));
  }
}
