/**
 * The data plane of `xcopy record`: a blocking loop that reads the rings and writes files. No event loop, no allocation
 * per packet; it shares nothing with the main thread but the memory of shared.ts.
 */
import { Control } from "../capture/control.ts";
import { RingSet } from "../capture/ring-set.ts";
import { monotonicMicroseconds, realtimeMicroseconds } from "../native/libc.ts";
import { Pause } from "../runtime/pause.ts";
import { DRAIN, publish, STOP } from "../runtime/shared.ts";
import type { Packet } from "../wire/packet.ts";
import { WallClock } from "./clock.ts";
import { FileError, Files } from "./files.ts";
import { kernelLosses } from "./losses.ts";
import { Recorder } from "./recorder.ts";
import { createRecordCounters, RECORD_INDEX as INDEX, viewRecordShared } from "./shared.ts";
import type { RecordEvent, RecordPlaneConfig } from "./start.ts";

/** Records per round. */
const ROUND = 1024;
/** us between two looks while traffic flows: no packet is urgent, and the rings hold far more. */
const GATHER = 5000;
/** us; the kernel programs go inert after 2 s without a heartbeat. */
const HEARTBEAT_INTERVAL = 500_000;
/** us: smaller changes of the time of day are not reported. */
const STEP_WORTH_SAYING = 100_000;

/** Runs until the main thread asks for the end, a limit (-c, --limit-bytes) is reached, or a file cannot be written. */
export function runRecordLoop(
  config: RecordPlaneConfig,
  wake: number,
  onReady: () => void,
  onEvent: (event: RecordEvent) => void,
): void {
  const shared = viewRecordShared(config.shared);
  const counters = createRecordCounters();
  const control = new Control(config.controlMap);
  const rings = new RingSet(config.rings, config.ringBytes);
  const pause = new Pause(control, [...config.rings, wake], false, GATHER);
  const files = new Files(config.files, config.first);
  let now = monotonicMicroseconds();
  const clock = new WallClock({ monotonic: monotonicMicroseconds, realtime: realtimeMicroseconds });
  const losses = kernelLosses(config.countersMap, config.lostMap);
  const recorder = new Recorder(config.recorder, files, clock, losses, now);
  let heartbeatAt = 0;
  let path = files.path;

  const onPacket = (packet: Packet): void => recorder.packet(packet);
  const isEmpty = (): boolean => rings.isEmpty;
  const tell = (): void => {
    counters[INDEX.packets] = recorder.packets;
    counters[INDEX.bytes] = recorder.bytes;
    counters[INDEX.outgoing] = recorder.outgoing;
    counters[INDEX.written] = recorder.written;
    counters[INDEX.files] = files.count;
    counters[INDEX.fileBytes] = files.total;
    publish(shared, counters);
    if (files.path !== path) {
      path = files.path;
      onEvent({ kind: "opened", path });
    }
  };

  control.setSample(config.sample);
  let isReady = false;
  try {
    for (;;) {
      now = monotonicMicroseconds();
      if (now >= heartbeatAt) {
        control.heartbeat(now / 1000);
        heartbeatAt = now + HEARTBEAT_INTERVAL;
      }
      const records = rings.drain(onPacket, ROUND, now);
      const step = recorder.advance(now);
      if (Math.abs(step) >= STEP_WORTH_SAYING) onEvent({ kind: "clock", step });
      tell();
      if (!isReady) onReady();
      isReady = true;
      if (recorder.end !== null) {
        onEvent({ kind: "enough", end: recorder.end });
        break;
      }
      const command = Atomics.load(shared.command, 0);
      if (command === STOP || (command === DRAIN && records === 0)) break;
      if (records >= ROUND) continue;
      pause.wait(records, rings.isFilling, Math.min(heartbeatAt - now, recorder.wait(now)), isEmpty);
    }
    recorder.finish(monotonicMicroseconds());
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    onEvent({ kind: "broken", path: error.path, cause: error.message });
  }
  tell();
  pause.close();
}
