/** The end of a copy: by a signal, by the end of the recording or without hope; then it drains. */
import type { StopRequests } from "../../host/signals.ts";
import type { Failure } from "../../native/failure.ts";
import type { DataPlane } from "../data-plane/start.ts";
import type { RequestInput } from "../input.ts";
import type { WayFollower } from "../ways/follow.ts";
import type { Console, RunningCopy } from "./running.ts";

/** ms that the data plane may take to end after the drain. */
const PATIENCE = 1000;
/** ms that the data plane may take to end after `stop`. */
const STOP_PATIENCE = 200;

/** s that the end may take besides the drain, for a service manager. */
export const END_PATIENCE = 30;

/**
 * Waits for a signal, or for `hopeless`; then stops the capture and drains for `drain` seconds, which a second signal cuts short. A
 * recording ends by itself, or at a signal without a drain.
 */
export async function copyUntilStopped(
  source: RequestInput,
  plane: DataPlane,
  ways: WayFollower,
  { stop, manager }: Console,
  current: RunningCopy["current"],
  hopeless: Promise<void>,
) {
  let isHopeless = false;
  try {
    await ways.start();
    const died = hopeless.then(() => {
      isHopeless = true;
    });
    await Promise.race([stop.first, plane.ended, died]);
  } finally {
    ways.end();
    manager.stopping(current.options.drain + END_PATIENCE);
  }
  if (stop.count() === 0 && !isHopeless) {
    if (source.trace) return;
    throw new Error("it ended without being told to");
  }
  source.stop();
  const { drain } = current.options;
  if (source.trace) {
    plane.stop();
    await Promise.race([plane.ended, Bun.sleep(PATIENCE)]);
    return;
  }
  plane.drain(drain * 1000);
  await Promise.race([plane.ended, stop.second, Bun.sleep(drain * 1000 + PATIENCE)]);
  plane.stop();
  // The data plane publishes its last counts when it ends.
  await Promise.race([plane.ended, stop.second, Bun.sleep(STOP_PATIENCE)]);
}

/** Errors of recordings that could not be read to their ends; none after a signal, which ended the reading. */
export async function failuresOf(source: RequestInput, stop: StopRequests): Promise<Failure[]> {
  return stop.count() > 0 ? [] : await source.failures();
}
