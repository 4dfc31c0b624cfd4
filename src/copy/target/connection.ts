/** An ordinary connection from this host to a target. */
import { createConnection } from "node:net";
import { formatEndpoint, parseAddress, parseZoned, sameAddress } from "../../config/address.ts";
import { type Endpoint, translationOf } from "../../netfilter/translation.ts";
import { afterPatience } from "../../runtime/patience.ts";

export interface OrdinaryConnection {
  result: "answered" | "refused" | "silent";
  /** The endpoint that this host's netfilter connected instead; null: it translated nothing, as far as is known. */
  translatedTo: string | null;
  /** Of a silent target: the error that came in place of an answer, as EHOSTUNREACH; absent: none. */
  error?: string;
}

/** Opens and closes a connection from this host's own address; `patience`: ms. */
export function connectOnce(address: string, port: number, patience: number): Promise<OrdinaryConnection> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    const end = async (result: OrdinaryConnection["result"], error?: string) => {
      callOff();
      const own = endpointOf(socket.localAddress, socket.localPort);
      const translatedTo =
        result === "answered" && own ? await translatedFrom(own, endpointOf(address, port)!) : null;
      socket.destroy();
      resolve({ result, translatedTo, ...(error && { error }) });
    };
    const callOff = afterPatience(patience, () => end("silent"));
    socket.on("connect", () => end("answered"));
    socket.on("error", ({ code }: NodeJS.ErrnoException) => {
      if (code === "ECONNREFUSED") end("refused");
      // Only an open connection is reset, if at once.
      else if (code === "ECONNRESET") end("answered");
      else end("silent", code);
    });
  });
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint | null {
  const bytes = address && (parseAddress(address) ?? parseZoned(address))?.bytes;
  return bytes && port ? { address: bytes, port } : null;
}

/** Where a connection to `server` really goes, if that is elsewhere. */
async function translatedFrom(client: Endpoint, server: Endpoint): Promise<string | null> {
  const found = await translationOf(client, server);
  const bytes = found && parseAddress(found.address)?.bytes;
  if (!bytes || (found.port === server.port && sameAddress(bytes, server.address))) return null;
  return formatEndpoint(bytes, found.port);
}
