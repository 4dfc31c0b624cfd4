/**
 * Resolves as soon as `condition` gives something true, and returns it. For events that nobody announces (a socket
 * that listens, a program that the kernel has freed). Throws after `ms`, with `what` it waited for.
 */
export async function until<T>(
  what: string | (() => string),
  condition: () => T | Promise<T>,
  ms = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline)
      throw new Error(`Waited ${ms} ms in vain: ${typeof what === "string" ? what : what()}`);
    await Bun.sleep(10);
  }
}
