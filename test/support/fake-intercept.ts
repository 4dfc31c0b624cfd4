/** An intercept that catches nothing, and answers what it is asked as a test wants it. */
import type { Peer } from "../../src/channel/contract.ts";
import type { Ask, Facts, Welcome } from "../../src/channel/messages.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import {
  type Accepted,
  accept,
  close,
  flush,
  listen,
  localEndpoint,
  receive,
} from "../../src/channel/socket.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
/** ms between two looks. */
const LOOK = 2;

export interface FakeIntercept {
  port: number;
  /** Copies that it has taken. */
  taken(): number;
  end(): void;
}

/** Starts one on loopback; `answer` gives the facts without their id, null for no answer. */
export function fakeIntercept(
  key: Uint8Array | null,
  welcome: Partial<Welcome>,
  answer: (question: Ask) => Omit<Facts, "id"> | null,
): FakeIntercept {
  const [listener] = listen([{ address: LOOPBACK, port: 0 }]) as [number];
  const server = new ChannelServer({ key, insecure: key === null });
  const connections: { fd: number; peer: Peer }[] = [];
  const bytes = new Uint8Array(new ArrayBuffer(65_536));
  let taken = 0;
  const take = ({ fd, address }: Accepted) => {
    const peer: Peer = server.accept(
      address,
      {
        admit: () => {
          taken++;
          return { mode: "target", slot: 0, cookie: null, services: [], version: "0.1.0", ...welcome };
        },
        onRegister() {},
        onRanges() {},
        onAsk(question) {
          const facts = answer(question);
          if (facts) peer.facts({ ...facts, id: question.id });
        },
        onClosed() {},
      },
      monotonicMicroseconds(),
    );
    connections.push({ fd, peer });
  };
  const timer = setInterval(() => {
    const accepted = accept(listener);
    if (typeof accepted !== "number") take(accepted);
    for (const { fd, peer } of connections) {
      const count = receive(fd, bytes, 0, bytes.length);
      if (count > 0) peer.feed(bytes, 0, count, monotonicMicroseconds());
      flush(fd, peer.outgoing);
    }
  }, LOOK);
  return {
    port: localEndpoint(listener).port,
    taken: () => taken,
    end() {
      clearInterval(timer);
      for (const { fd } of connections) close(fd);
      close(listener);
    },
  };
}
