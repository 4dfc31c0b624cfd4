/** Server-sent events: the report to every page that follows, once a second; to who reads slowly, less often or not at all. */
import type { Report } from "../compare/report.ts";
import { changeOf } from "../report/page/changes.ts";

/** Pages that are served at a time at most. */
export const MOST_READERS = 16;
/** Seconds after which a page that has not taken what was sent is dropped. */
const MOST_BEHIND = 10;
/** ms between two events. */
const INTERVAL = 1000;

interface Reader {
  controller: ReadableStreamDefaultController<Uint8Array>;
  /** Whether it has all events before, so that a change will do. */
  isCurrent: boolean;
  /** Events left out in a row, as it has not taken the one before. */
  behind: number;
  /** Ends its connection, even if it takes nothing. */
  abandon: () => void;
}

export interface Events {
  /** Whether there is room for one more. */
  hasRoom(): boolean;
  /** A stream for one more page; `abandon` must end its connection soon, whatever its reader does. */
  open(abandon: () => void): ReadableStream<Uint8Array>;
  readers(): number;
  /** Sends the last state and ends all. */
  close(): void;
}

function encode(event: string, data: unknown): Uint8Array {
  return new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Calls `tell` every INTERVAL until the function that it returns is called. */
function everySecond(tell: () => void): () => void {
  const timer = setInterval(tell, INTERVAL);
  return () => clearInterval(timer);
}

/** `report` gives the state as `compact` makes it; it is called once for all readers, and while there are any. */
export function createEvents(
  report: () => Report,
  every: (tell: () => void) => () => void = everySecond,
): Events {
  const readers = new Set<Reader>();
  let rest: (() => void) | null = null;
  let sent: Report | null = null;

  const drop = (reader: Reader, end: (controller: Reader["controller"]) => void) => {
    readers.delete(reader);
    try {
      end(reader.controller);
    } catch {
      // It is gone already.
    }
    if (readers.size > 0) return;
    rest?.();
    rest = null;
    sent = null;
  };

  /** Gives each reader that has taken what came before either the change or all of the report. */
  const tell = () => {
    const next = report();
    const change = sent ? encode("change", changeOf(sent, next)) : null;
    let whole: Uint8Array | null = null;
    sent = next;
    for (const reader of readers) {
      if ((reader.controller.desiredSize ?? 0) <= 0) {
        reader.isCurrent = false;
        if (++reader.behind < MOST_BEHIND) continue;
        reader.abandon();
        drop(reader, (controller) => controller.close());
        continue;
      }
      if (!reader.isCurrent || !change) whole ??= encode("report", next);
      reader.controller.enqueue(reader.isCurrent && change ? change : whole!);
      reader.isCurrent = true;
      reader.behind = 0;
    }
  };

  const safeTell = () => {
    try {
      tell();
    } catch {
      // The run goes on, whatever becomes of its pages.
      for (const reader of [...readers]) drop(reader, (controller) => controller.close());
    }
  };

  return {
    hasRoom: () => readers.size < MOST_READERS,
    readers: () => readers.size,
    open: (abandon) => {
      let reader: Reader;
      return new ReadableStream<Uint8Array>(
        {
          start: (controller) => {
            reader = { controller, isCurrent: false, behind: 0, abandon };
            readers.add(reader);
            controller.enqueue(encode("report", report()));
            rest ??= every(safeTell);
          },
          cancel: () => drop(reader, () => {}),
        },
        new ByteLengthQueuingStrategy({ highWaterMark: 1 }),
      );
    },
    close: () => {
      if (readers.size > 0) safeTell();
      for (const reader of [...readers]) drop(reader, (controller) => controller.close());
    },
  };
}
