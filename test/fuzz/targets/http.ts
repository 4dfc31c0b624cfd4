/** HTTP/1.1: what a client and a target send, in turns; whatever the pieces, what is sent on is what was captured. */
import { HTTP } from "../../../src/protocol/http/http.ts";
import { Host } from "../../protocol/host.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { expectThat, roughly, type Target } from "../target.ts";

/** A byte in an input between what the client sends and what the target does. */
const SIDE = 0xff;
/** The only error of the module: the engine ends the copying of the session. */
const REFUSAL = "a chunk without a size";

export const target: Target = {
  about:
    "HTTP/1.1 requests and answers: heads, lengths, chunks, upgrades; the same in whatever pieces, and sent as captured",
  longest: 3000,
  rounds: 1200,
  words: [
    "GET / HTTP/1.1\r\n",
    "POST /a HTTP/1.0\r\n",
    "HEAD / HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 4294967296\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "\r\n\r\n",
    "\n\n",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "ffffffffffff\r\n",
    "\xff",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ],

  take(input) {
    const [whole, ...others] = cutsOf(input).map((cut) => play(input, cut));
    // Whether the rest of a request that was told to wait is another one is judged by the first piece of it.
    const isGuessed = /100-continue/i.test(Buffer.from(input).toString("latin1"));
    for (const other of isGuessed ? [] : others) {
      // Bytes behind an Upgrade that was not accepted are dropped once it is answered: where in a piece that is can matter.
      const isSame =
        other.end === whole!.end &&
        (other.drops ||
          whole!.drops ||
          (other.end === REFUSAL ? begins(other.sent, whole!.sent) : other.sent.equals(whole!.sent)));
      expectThat(isSame, () => `In pieces: ${show(other)}; whole: ${show(whole!)}`);
    }
    return `${whole!.end} ${whole!.kinds} ${roughly(whole!.sent.length)} ${whole!.waiting > 0}`;
  },
};

interface Played {
  sent: Buffer;
  /** How it ended. */
  end: string;
  waiting: number;
  /** Whether a part of what was captured was left out. */
  drops: boolean;
  /** Which of the client's requests were told apart. */
  kinds: string;
}

function show({ sent, end }: Played): string {
  return `${end} ${JSON.stringify(sent.toString("latin1"))}`;
}

/** Whether the one is the beginning of the other, or the other way round. */
function begins(one: Buffer, other: Buffer): boolean {
  const length = Math.min(one.length, other.length);
  return one.subarray(0, length).equals(other.subarray(0, length));
}

function play(input: Uint8Array, cut: number[]): Played {
  const host = new Host(HTTP);
  host.connect();
  const captured: Uint8Array[] = [];
  let isClient = true;
  let isTurn = true;
  let end = "";
  try {
    feedPieces(input, cut, (bytes, from, to) => {
      for (let at = from; at < to; ) {
        const side = bytes.indexOf(SIDE, at);
        const until = side < 0 || side >= to ? to : side;
        if (until > at && isClient) {
          captured.push(bytes.slice(at, until));
          request(host, bytes, at, until, isTurn);
          isTurn = false;
        } else if (until > at) respond(host, bytes, at, until);
        if (until < to) {
          isClient = !isClient;
          isTurn = true;
        }
        at = until + 1;
      }
    });
  } catch (error) {
    if ((error as Error).message !== REFUSAL) throw error;
    end = REFUSAL;
  }
  const sent = Buffer.concat(host.sent);
  // A body that a target refused to continue with, or an Upgrade that it did not accept, ends the session.
  if (host.isRefused) end = "refused";
  expectThat(
    host.dropped > 0 || begins(sent, Buffer.concat(captured)),
    () => `Sent is not what was captured: ${JSON.stringify(sent.toString("latin1"))}`,
  );
  const total = captured.reduce((sum, { length }) => sum + length, 0);
  expectThat(sent.length <= total, () => `${sent.length} bytes of ${total} sent`);
  return {
    sent,
    end,
    waiting: host.waiting,
    drops: host.dropped > 0,
    kinds: `${host.handedOver} ${host.sent.length > 4 ? "many" : host.sent.length}`,
  };
}

/** As the engine does it: no byte goes to the module once it has handed the session over. */
function request(host: Host, bytes: Uint8Array, from: number, to: number, isTurn: boolean): void {
  if (host.handedOver) {
    host.begin(0);
    host.write(bytes, from, to);
  } else host.session.request(bytes, from, to, false, isTurn, 0, 0, 0);
  host.request(new Uint8Array(0));
}

function respond(host: Host, bytes: Uint8Array, from: number, to: number): void {
  if (!host.handedOver && !host.isRefused) host.session.response(bytes, from, to, 0, 0);
  host.request(new Uint8Array(0));
}
