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
    const value = await condition();
    if (value) return value;
    if (patience.isOver())
      throw new Error(`Waited ${patience} in vain: ${typeof what === "string" ? what : what()}`);
    await Bun.sleep(10);
  }
}
