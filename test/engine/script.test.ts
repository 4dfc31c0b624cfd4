/** The notation of the scripts, and that a script which the engine does not keep to says so. */
import { describe, expect, test } from "bun:test";
import { type Numbers, playScript } from "./play.ts";
import { decodeOptions, encodeOptions, flagLetters, optionsMatch, parseScript } from "./script.ts";

const NUMBERS: Numbers = { client: 1000, online: 2000, target: 3000, engine: 4000 };

const HANDSHAKE = `// A handshake
+0   c> S 0:0(0) <mss 1460>
+0   c> . 1:1(0) ack 1
+0    > S 0:0(0) <mss 1460>
+.01  < S. 0:0(0) ack 1 <mss 1460>
`;

function play(...lines: string[]): string {
  return playScript("x.pkt", HANDSHAKE + lines.join("\n"), NUMBERS);
}

describe("parseScript", () => {
  test("reads title, options, times and events", () => {
    const script = parseScript(
      "x.pkt",
      "// Title\n--turnTimeout=2s\n--waitsForAnswers=false\n+.25~1 >2 FP. 1:101(100) ack 7 win 9 data 5 <...> // why\n",
    );
    expect(script.title).toBe("Title");
    expect(script.options).toEqual({ turnTimeout: 2_000_000, waitsForAnswers: false });
    expect(script.lines).toHaveLength(1);
    expect(script.lines[0]).toMatchObject({
      number: 4,
      from: 250_000,
      to: 1_000_000,
      event: {
        kind: "expect",
        flow: 2,
        segment: { flags: 0x19, seq: 1, length: 100, ack: 7, window: 9, data: 5, options: "..." },
      },
    });
  });

  test.each([
    ["> S 0:0(0)", "a line begins with a time, like +0 or +.25"],
    ["+0 ? S 0:0(0)", "an event is one of c> > < ="],
    ["+0 > Q 0:0(0)", "a segment is flags, first:end(length), words and <options>"],
    ["+0 > . 1:10(10)", "1:10 is not 10 long"],
    ["+0 > . 1:1(0) ack", '"ack" wants a value'],
    ["+0 > . 1:1(0) ack x", "not a number"],
    ["+0 > . 1:1(0) bogus 1", 'unknown word "bogus"'],
    ["+0 = turnsSent", 'a counter is a name and a number, not "turnsSent"'],
    ["--turnTimeout=2h", '"2h" is no number'],
  ])("%s is an error that names the line", (line, message) => {
    expect(() => parseScript("x.pkt", `// Title\n\n${line}`)).toThrow(`x.pkt:3: ${message}: "${line}"`);
  });
});

describe("options", () => {
  test.each([
    "mss 1460,sackOK,TS val 4294967295 ecr 7,nop,wscale 14",
    "nop,nop,sack 1:101 301:401",
    "kind 253 f989aabb,nop,nop",
    "eol,eol,eol,eol",
  ])("<%s> is read as it was written", (text) => {
    const bytes = Uint8Array.from(encodeOptions(text, 2 ** 32 - 50));
    expect(decodeOptions(bytes, 2 ** 32 - 50)).toBe(text);
  });

  test("malformed options are decoded as bad", () => {
    expect(decodeOptions(Uint8Array.of(1, 1, 8, 1), 0)).toBe("nop,nop,bad");
    expect(decodeOptions(Uint8Array.of(1, 1, 8, 10), 0)).toBe("nop,nop,bad");
  });

  test("* matches any number, and ... anything", () => {
    expect(optionsMatch("nop, nop, TS val * ecr 5", "nop,nop,TS val 9 ecr 5")).toBe(true);
    expect(optionsMatch("nop,nop,TS val * ecr 5", "nop,nop,TS val 9 ecr 6")).toBe(false);
    expect(optionsMatch("nop,nop", "nop,nop,TS val 9 ecr 6")).toBe(false);
    expect(optionsMatch(null, "")).toBe(true);
    expect(optionsMatch(null, "nop")).toBe(false);
    expect(optionsMatch("...", "nop")).toBe(true);
  });

  test("options without padding and unknown options are errors", () => {
    expect(() => encodeOptions("wscale 7", 0)).toThrow("options of 3 bytes lack padding: <wscale 7>");
    expect(() => encodeOptions("bogus", 0)).toThrow('unknown option "bogus"');
  });
});

test("flags are written with packetdrill's letters", () => {
  expect([0x02, 0x12, 0x19, 0xc2, 0x30, 0].map(flagLetters)).toEqual(["S", "S.", "FP.", "SEW", ".U", "-"]);
});

describe("playScript", () => {
  const REQUEST = "+0 c> P. 1:101(100) ack 1";

  test("returns no fault when the engine follows the script", () => {
    expect(play(REQUEST, "+0 > P. 1:101(100) ack 1", "+0 = turnsCaptured 1")).toBe("");
  });

  test.each([
    [
      "a segment that nobody expects",
      [REQUEST, "+1 < . 1:1(0) ack 1"],
      "x.pkt:7: ",
      "The engine sent before it:",
    ],
    [
      "one after the last line",
      [REQUEST],
      "The engine sent after the last line:",
      "> P. 1:101(100)".slice(1),
    ],
    [
      "one that does not come",
      [REQUEST, "+0 > P. 1:101(100) ack 1", "+.1 > . 1:1(0)"],
      "x.pkt:8: ",
      "sent nothing",
    ],
    ["one that comes too soon", [REQUEST, "+.1 > P. 1:101(100) ack 1"], "x.pkt:7: ", "Sent after 0 s"],
    ["other flags", [REQUEST, "+0 > . 1:101(100) ack 1"], "x.pkt:7: ", "Not this"],
    ["another sequence number", [REQUEST, "+0 > P. 2:102(100) ack 1"], "x.pkt:7: ", "Not this"],
    ["another length", [REQUEST, "+0 > P. 1:102(101) ack 1"], "x.pkt:7: ", "Not this"],
    ["another ack", [REQUEST, "+0 > P. 1:101(100) ack 2"], "x.pkt:7: ", "Its ack is 1"],
    ["another window", [REQUEST, "+0 > P. 1:101(100) ack 1 win 5"], "x.pkt:7: ", "Its window is 65535"],
    ["other options", [REQUEST, "+0 > P. 1:101(100) ack 1 <nop>"], "x.pkt:7: ", "Its options are <>"],
    ["other bytes", [REQUEST, "+0 > P. 1:101(100) ack 1 data 2"], "x.pkt:7: ", "not the client's byte 2"],
    ["another connection", [REQUEST, "+0 >2 P. 1:101(100) ack 1"], "x.pkt:7: ", "On another connection"],
    [
      "another count",
      [REQUEST, "+0 > P. 1:101(100) ack 1", "+0 = turnsSent 5"],
      "x.pkt:8: ",
      "turnsSent is 0",
    ],
    ["a counter that is none", ["+0 = bogus 5"], "x.pkt:6: ", 'there is no counter "bogus"'],
  ])("tells of %s", (_, lines, place, message) => {
    const fault = play(...lines);
    expect(fault).toContain(place);
    expect(fault).toContain(message);
  });
});
