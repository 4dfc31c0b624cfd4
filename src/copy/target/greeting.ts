/** Reads what a target sends first, to see whether it greets as a MySQL server does. */
import { createConnection } from "node:net";
import { isFirstPacket } from "../../protocol/mysql/packets/greeting.ts";
import { afterPatience } from "../../runtime/patience.ts";

/** `silent`: connected, but it sent too little to tell before the time was over. `unreachable`: no connection. */
export type Greets = "mysql" | "other" | "silent" | "unreachable";

/** Bytes after which an answer that is still no whole greeting counts as `other`; greetings are far shorter. */
const MOST_BYTES = 4096;

/**
 * Opens a connection from this host's own address, reads what the target sends first, for at most `patience` ms, and closes
 * the connection. A MySQL server counts that as a connection that ended before its login (Aborted_connects).
 */
export function lookAtGreeting(host: string, port: number, patience: number): Promise<Greets> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    let said: Uint8Array = new Uint8Array(0);
    let isConnected = false;
    const end = (result: Greets) => {
      callOff();
      socket.destroy();
      resolve(result);
    };
    const giveUp = () => end(isConnected ? "silent" : "unreachable");
    const callOff = afterPatience(patience, giveUp);
    socket.on("connect", () => {
      isConnected = true;
    });
    socket.on("data", (bytes: Uint8Array) => {
      said = Buffer.concat([said, bytes]);
      const isMysql = isFirstPacket(said);
      if (isMysql !== null) end(isMysql ? "mysql" : "other");
      else if (said.length > MOST_BYTES) end("other");
    });
    socket.on("close", giveUp);
    socket.on("error", giveUp);
  });
}
