/**
 * A copy that only listens: registers FLOWS flows with an intercept and counts the responses that it gets.
 * usage: bun listener.ts INTERCEPT FLOWS. Prints "registered", and at SIGTERM the count.
 */

import { randomBytes } from "node:crypto";
import { OPENING, REGISTRATION_BYTES, writeProof } from "../src/channel/registration.ts";
import { parseAddress } from "../src/config/address.ts";
import { INTERCEPT_PORT } from "../src/config/intercepts.ts";
import { InterceptLink, waitForAny } from "../src/copy/data-plane/intercept-link.ts";
import { monotonicMicroseconds } from "../src/native/libc.ts";
import { WHOLE } from "../src/wire/prefix.ts";
import { KEY } from "../test/support/key.ts";
import { clientOf } from "./flow.ts";

const address = parseAddress(process.argv[2]!)!.bytes;
const flows = Number(process.argv[3]);
/** Flows between two writes. */
const STRETCH = 1000;

let responses = 0;
let ends = false;
process.on("SIGTERM", () => {
  ends = true;
});

const intercept = { label: "", address, port: INTERCEPT_PORT };
const config = {
  intercepts: [intercept],
  connections: 1,
  key: new TextEncoder().encode(KEY),
  readsPayload: false,
  prefix: WHOLE,
  compat: false,
  probeFrom: [],
};
const link = new InterceptLink(intercept, config, randomBytes(8), {
  onWelcome() {},
  onResponse() {
    responses++;
  },
  onFacts() {},
  onLost(text) {
    console.log(`lost: ${text}`);
  },
});
const turn = () => {
  link.run(monotonicMicroseconds());
  waitForAny([link], 1);
};
while (!link.isOpen) turn();

const flow = new Uint8Array(new ArrayBuffer(REGISTRATION_BYTES));
const view = new DataView(flow.buffer);
// What answers.ts acknowledges.
writeProof(view, 0, 1, 1, 0, OPENING);
flow.set([10, 1], 0);
flow.set([10, 0, 0, 2], 16);
view.setUint16(34, 8080);
for (let index = 0; index < flows; index++) {
  const { host, port } = clientOf(index);
  view.setUint16(2, host);
  view.setUint16(32, port);
  link.client.register(flow, 0);
  if (index % STRETCH === 0) while (!link.client.outgoing.isEmpty) turn();
}
link.sync();
while (!link.isSynced) turn();
console.log("registered");
for (let round = 0; !ends; round++) {
  turn();
  if (round % 16 === 0) await Bun.sleep(0);
}
console.log(`${responses}`);
process.exit(0);
