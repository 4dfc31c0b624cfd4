/** The client of the demo: numbered requests at a steady rate over many connections. */
import type { Socket } from "bun";

export interface Sent {
  sent: number;
  answered: number;
  /** Connections that broke while an answer was missing, and answers other than 200. */
  failed: number;
  /** Connections opened so far. */
  connections: number;
}

export interface ClientOptions {
  host: string;
  port: number;
  /** Requests per second. */
  rate: number;
  /** Requests in all. */
  count: number;
  /** Connections open at a time. */
  connections: number;
}

/** Requests after which a connection is closed and another one opened. */
const REQUESTS_PER_CONNECTION = 50;
const REPORT_MILLISECONDS = 20;
/** When all is sent: how long no answer may arrive before those that are missing are given up. */
const PATIENCE_MILLISECONDS = 20_000;

interface Connection {
  requests: number;
  /** What has arrived of the answer; null if none is expected. */
  answer: string | null;
}

/** Sends `count` requests, prints a `Sent` per line every 20 ms and a last one at the end, then ends the process. */
export async function runClient(options: ClientOptions): Promise<never> {
  const sent: Sent = { sent: 0, answered: 0, failed: 0, connections: 0 };
  const idle: Socket<Connection>[] = [];
  const done = Promise.withResolvers<void>();
  let patience: Timer | undefined;
  process.stdin.on("end", () => process.exit(1)).resume();

  const open = async () => {
    sent.connections++;
    await Bun.connect<Connection>({
      hostname: options.host,
      port: options.port,
      data: { requests: 0, answer: null },
      socket: { open: rest, data: receive, close: lose, error: lose },
    });
  };

  function rest(socket: Socket<Connection>): void {
    if (sent.answered + sent.failed === options.count) done.resolve();
    if (socket.data.requests < REQUESTS_PER_CONNECTION) {
      idle.push(socket);
      return;
    }
    socket.end();
    open();
  }

  function receive(socket: Socket<Connection>, bytes: Buffer): void {
    if (socket.data.answer === null) return;
    socket.data.answer += bytes.toString("latin1");
    if (!isComplete(socket.data.answer)) return;
    patience?.refresh();
    if (socket.data.answer.startsWith("HTTP/1.1 200 ")) sent.answered++;
    else sent.failed++;
    socket.data.answer = null;
    rest(socket);
  }

  function lose(socket: Socket<Connection>): void {
    const place = idle.indexOf(socket);
    if (place >= 0) idle.splice(place, 1);
    if (socket.data.answer === null) return;
    socket.data.answer = null;
    sent.failed++;
    open();
  }

  function send(socket: Socket<Connection>): void {
    socket.data.requests++;
    socket.data.answer = "";
    socket.write(`GET /${sent.sent++} HTTP/1.1\r\nHost: ${options.host}\r\nUser-Agent: xcopy-demo\r\n\r\n`);
  }

  await Promise.all(Array.from({ length: options.connections }, open));
  const begun = performance.now();
  const pace = setInterval(() => {
    const due = Math.min(options.count, Math.floor(((performance.now() - begun) / 1000) * options.rate));
    while (sent.sent < due && idle.length > 0) send(idle.shift()!);
    if (sent.sent === options.count) {
      clearInterval(pace);
      patience = setTimeout(done.resolve, PATIENCE_MILLISECONDS);
    }
  }, 1);
  const report = setInterval(() => console.log(JSON.stringify(sent)), REPORT_MILLISECONDS);
  await done.promise;
  clearInterval(report);
  console.log(JSON.stringify(sent));
  process.exit(0);
}

function isComplete(answer: string): boolean {
  const head = answer.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(answer.slice(0, head))?.[1];
  return answer.length >= head + 4 + Number(length ?? 0);
}
