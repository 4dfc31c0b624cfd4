/** What bin/chaos runs. */

import { readArguments, refuse } from "../support/arguments.ts";
import { flood } from "./flood.ts";
import { kill } from "./kill.ts";
import { MODES } from "./modes.ts";

const USAGE = `usage: bin/chaos [--moments 50] [--seed N] [MODE...]
       bin/chaos flood [--seconds 60] [--rate 50000]
       bin/chaos --list

  MODE       what is killed, as --list shows it; all without
  --moments  how often, each time at a random moment of its start, its work or its end
  --seed     what the moments follow from
  flood      SYNs of clients that never come back, so many per second, and real clients beside them`;

const { values, positionals } = readArguments("begin", USAGE, {
  list: { type: "boolean" },
  help: { type: "boolean" },
  moments: { type: "string", default: "50" },
  seed: { type: "string", default: `${Date.now() & 0x7fffffff}` },
  seconds: { type: "string", default: "60" },
  rate: { type: "string", default: "50000" },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (values.list) {
  for (const [name, { about }] of Object.entries(MODES)) console.log(`${name.padEnd(18)} ${about}`);
  process.exit(0);
}
const numbers = { moments: values.moments, seed: values.seed, seconds: values.seconds, rate: values.rate };
for (const [name, text] of Object.entries(numbers)) {
  if (!/^[0-9]{1,10}$/.test(text)) refuse(`Cannot use --${name} "${text}": no whole number`, USAGE);
}
if (positionals[0] === "flood") {
  process.exit((await flood(Number(values.seconds), Number(values.rate))) ? 0 : 1);
}
const unknown = positionals.find((name) => !(name in MODES));
if (unknown !== undefined)
  refuse(`Cannot kill "${unknown}": there is no such mode`, "bin/chaos --list shows all.");
const names = positionals.length > 0 ? positionals : Object.keys(MODES);
let isGood = true;
for (const name of names) {
  isGood = (await kill(name, MODES[name]!, Number(values.moments), Number(values.seed))) && isGood;
}
console.log(`--seed ${values.seed} repeats the moments`);
process.exit(isGood ? 0 : 1);
