/** What a target says first, or answers when a client begins to speak TLS. */
import { createConnection } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterPatience } from "../../runtime/patience.ts";
import { type ProtocolName, recognizeServer } from "../arrival/recognize.ts";

/** ms for the first bytes of a server that speaks first, and for a handshake of TLS. */
const GREETING_PATIENCE = 500;
const TLS_PATIENCE = 1000;

export interface Greeting {
  /** Null: not known, or it waits for the client to speak. */
  protocol: ProtocolName | null;
  /** Whether it spoke first. */
  isFirst: boolean;
  /** Whether it closed the connection at once, without a word. */
  isClosed?: boolean;
}

/**
 * Opens a connection, and a second one for TLS where nothing is said in the first. A server without TLS logs a malformed request;
 * production is never asked.
 */
export async function readGreeting(host: string, port: number): Promise<Greeting> {
  const said = await firstBytes(host, port);
  if (said === null) return { protocol: null, isFirst: false, isClosed: true };
  if (said.length > 0) return { protocol: recognizeServer(said), isFirst: true };
  return { protocol: (await speaksTls(host, port)) ? "TLS" : null, isFirst: false };
}

/** Empty: it waits for its client, or took no second connection; null: it has closed the connection without a word. */
function firstBytes(host: string, port: number): Promise<Uint8Array | null> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const end = (bytes: Uint8Array | null): void => {
      callOff();
      socket.destroy();
      resolve(bytes);
    };
    const callOff = afterPatience(GREETING_PATIENCE, () => end(new Uint8Array(0)));
    let isOpen = false;
    const lost = (wasOpen: boolean): void => end(wasOpen ? null : new Uint8Array(0));
    socket.on("connect", () => {
      isOpen = true;
    });
    socket.on("data", (bytes: Uint8Array) => end(bytes));
    // Only an open connection is reset; one that is reset at once may not have been told of as open.
    socket.on("error", ({ code }: NodeJS.ErrnoException) => lost(isOpen || code === "ECONNRESET"));
    socket.on("close", () => lost(isOpen));
  });
}

/** Whether it answers a ClientHello with a handshake or an alert. */
function speaksTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    // Who the target is does not matter: nothing is said to it.
    const socket = connectTls({ host, port, rejectUnauthorized: false });
    const end = (result: boolean): void => {
      callOff();
      socket.destroy();
      resolve(result);
    };
    const callOff = afterPatience(TLS_PATIENCE, () => end(false));
    socket.on("secureConnect", () => end(true));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end(/ALERT|HANDSHAKE_FAILURE/i.test(`${error.code} ${error.message}`)),
    );
    socket.on("close", () => end(false));
  });
}
