/** `-d` of copy, intercept and record. */

/**
 * Starts the run in the background, if that is asked for and this process is not that one. True when the run works there, or has
 * failed, which the exit code says: nothing is left to do here.
 */
export async function goesToBackground(options: { daemon: boolean; dryRun: boolean }): Promise<boolean> {
  if (!options.daemon || options.dryRun) return false;
  const { isDaemon, startDaemon } = await import("../host/daemon.ts");
  if (isDaemon()) return false;
  process.exitCode = await startDaemon();
  return true;
}
