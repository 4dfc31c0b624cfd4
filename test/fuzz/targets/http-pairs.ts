/** HTTP/1.1 compared: what a client, production and a target send, in any order, with gaps; each request ends as one pair. */
import type { Pair } from "../../../src/pairs/pair.ts";
import { createHttp } from "../../../src/protocol/http/http.ts";
import { Requests } from "../../../src/protocol/http/requests.ts";
import { Host } from "../../protocol/host.ts";
import { expectThat, roughly, type Target } from "../target.ts";

/** A byte before one that says what follows, by its low bits. */
const NEXT = 0xff;
/** The tag of what is no request of HTTP. */
const IS_RAW = 16;
/** The only error of the module: the engine ends the copying of the session. */
const REFUSAL = "a chunk without a size";
const MEMORY = 20_000;

export const target: Target = {
  about:
    "HTTP/1.1 requests with the answers of production and target, with gaps and closes: each is one pair",
  longest: 2000,
  rounds: 800,
  words: [
    "GET / HTTP/1.1\r\n\r\n",
    "HEAD / HTTP/1.1\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\nUpgrade: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\n",
    ...Array.from({ length: 12 }, (_, kind) => Uint8Array.of(NEXT, kind)),
  ],

  take(input) {
    const pairs: Pair[] = [];
    const config = { body: true, fields: ["content-length"], memory: MEMORY };
    const requests = new Requests(config, { take: (pair) => void pairs.push(pair) }, () => {});
    let captured = 0;
    const host = new Counting(createHttp(requests), () => captured++);
    let end = "";
    try {
      play(host, input);
    } catch (error) {
      if ((error as Error).message !== REFUSAL) throw error;
      end = REFUSAL;
    }
    host.session.disconnected();
    host.session.close();
    expectThat(pairs.length === captured, () => `${pairs.length} pairs of ${captured} requests`);
    expectThat(requests.count === 0, () => `${requests.count} requests wait`);
    expectThat(requests.reserve((MEMORY * 3) / 4), () => "memory was not given back");
    for (const { outcome, production, target } of pairs) {
      const isWhole = production !== null && target !== null;
      expectThat(outcome !== "compared" || isWhole, () => "compared without an answer");
    }
    const outcomes = [...new Set(pairs.map(({ outcome }) => outcome))].sort();
    return `${end} ${host.handedOver} ${roughly(captured)} ${outcomes}`;
  },
};

class Counting extends Host {
  constructor(
    module: ConstructorParameters<typeof Host>[0],
    private readonly count: () => void,
  ) {
    super(module);
  }

  override begin(tag: number): void {
    if (!(tag & IS_RAW)) this.count();
    super.begin(tag);
  }
}

function play(host: Counting, input: Uint8Array): void {
  let next = host.ack;
  host.connect();
  for (let at = 0, kind = 0; at < input.length; ) {
    if (input[at] === NEXT) {
      kind = (input[at + 1] ?? 0) % 12;
      at += 2;
    }
    const marked = input.indexOf(NEXT, at);
    const to = marked < 0 ? input.length : marked;
    const bytes = input.subarray(at, to);
    at = to;
    const isOver = host.handedOver !== null || host.isRefused;
    host.time += 1000;
    switch (kind) {
      case 0:
      case 1:
      case 2:
        // Turn, no turn, after lost bytes.
        if (kind !== 1) host.ack = next | 0;
        if (bytes.length > 0 && !isOver) host.request(bytes, kind !== 1, bytes.length, kind === 2);
        break;
      case 3:
      case 4:
      case 5: {
        // Production: whole, the first half captured, not captured.
        const missing = kind === 3 ? 0 : bytes.length >> 1;
        if (kind !== 5 && bytes.length > 0) {
          host.session.production!(bytes, 0, bytes.length - missing, missing, next | 0, 0, host.time);
        }
        next += bytes.length;
        break;
      }
      case 6:
      case 7:
        if (bytes.length > 0 && !isOver)
          host.response(bytes, bytes.length, kind === 6 ? bytes.length : bytes.length >> 1);
        break;
      case 8:
        host.session.targetEnded!((bytes[0] ?? 0) > 64);
        break;
      case 9:
        host.disconnect((bytes[0] ?? 0) > 64);
        host.connect();
        break;
      case 10:
        host.session.productionEnded!(next | 0, (bytes[0] ?? 0) > 64);
        break;
      case 11:
        host.time += 200_000;
    }
  }
}
