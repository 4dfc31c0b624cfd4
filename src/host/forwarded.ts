/** Says once that packets only passed through this host, where nothing else came: the user may have meant them. */
import type { Forwarded } from "../capture/local-maps.ts";
import { formatEndpoint } from "../config/address.ts";
import type { Log } from "./log/log.ts";

/** ms between two looks. Requests that come with the first of these packets have that long to be seen. */
const LOOK = 2000;

/** The line for the log; null: there is nothing to say. `example`: one of the destinations. */
export function forwardedNote(
  { packets, forwarded = 0 }: { packets: number; forwarded?: number },
  example: Forwarded | null,
): string | null {
  if (packets > 0 || forwarded === 0 || example === null) return null;
  const endpoint = formatEndpoint(example.address, example.port);
  return (
    `nothing was captured: ${forwarded.toLocaleString("en-US")} packets to other hosts, such as ${endpoint}, only passed through this host\n` +
    `To take them as well, name their address in -x: -x ${endpoint}-TARGET`
  );
}

/** Looks from now on; returns what ends it with a last look. */
export function watchForwarded(note: () => string | null, log: Log): () => void {
  let isSaid = false;
  let isDue = false;
  const look = (isLast = false) => {
    const text = isSaid ? null : note();
    if (text !== null && (isDue || isLast)) {
      log.warn(text);
      isSaid = true;
    }
    isDue = text !== null;
  };
  const timer = setInterval(look, LOOK);
  return () => {
    clearInterval(timer);
    look(true);
  };
}
