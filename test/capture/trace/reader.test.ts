/** The reader of traces from files to the ring. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { OUTGOING } from "../../../src/capture/record-index.ts";
import type { TraceCounter } from "../../../src/capture/trace/counters.ts";
import { startTraceReader } from "../../../src/capture/trace/start.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import { address, EFD_NONBLOCK, EPOLL_CTL_ADD, EPOLLIN, libc } from "../../../src/native/libc.ts";
import { ACK, build, bytesOf, SYN } from "../../bpf/build.ts";
import { seeded } from "../../support/seed.ts";
import { makeSegment } from "../../support/segment.ts";
import { until } from "../../support/until.ts";
import { writeTrace } from "./generate.ts";
import { concat, type Laid, MODIFIED, pcap, section } from "./lay.ts";
import { optionsFor, type Read, readAll, readHere } from "./read.ts";
import { fc } from "./seed.ts";

const NOW = 1_700_000_000_000_000;
const scratch = mkdtempSync(join(tmpdir(), "xcopy-reader-"));
afterAll(() => rmSync(scratch, { recursive: true }));

let files = 0;
/** Writes a file and returns its path. */
function file(bytes: Uint8Array | string, name = `${files++}.trace`): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

/** A request with this sequence number at so many us. */
function request(seq: number, time = seq, payload = 10): Laid {
  return { time: NOW + time, data: build({ seq, payload }).bytes };
}

function requests(count: number, payload = 10): Laid[] {
  return Array.from({ length: count }, (_, index) => request(index, index, payload));
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

const ONE_OF_EACH: TraceCounter[] = [
  "requests",
  "pureAcks",
  "duplicates",
  "translated",
  "unsampled",
  "notIp",
  "notWanted",
  "outside",
  "headersCut",
  "malformed",
  "checksumErrors",
  "fragments",
];

function expectToAddUp({ counters }: Pick<Read, "counters">): void {
  expect(ONE_OF_EACH.reduce((sum, name) => sum + counters[name], 0)).toBe(counters.packets);
}

/** A request with a right checksum, or with other bytes than it was sent with, and then perhaps on its way through a rewriting tool. */
function intact(seq: number, damaged = false, destination = "10.0.0.2"): Laid {
  const ip = makeSegment({
    source: bytesOf("10.0.0.1"),
    destination: bytesOf("10.0.0.2"),
    sourcePort: 50000,
    destinationPort: 80,
    seq,
    ack: 1,
    flags: ACK,
    payload: new Uint8Array(100).fill(seq),
  });
  if (damaged) ip[60]! ^= 1;
  ip.set(bytesOf(destination), 16);
  const data = Uint8Array.of(...new Uint8Array(12), 8, 0, ...ip);
  return { time: NOW + seq, data };
}

test("requests that production has dropped for their checksums are left out", async () => {
  const read = await readAll([
    file(pcap([intact(1), intact(2, true), intact(3), intact(4, true), intact(5)])),
  ]);
  expect(read.seqs).toEqual([1, 3, 5]);
  expect(read.counters).toMatchObject({ requests: 3, checksumErrors: 2 });
  expect(read.warnings).toEqual([]);
  expectToAddUp(read);
});

test("in a recorded file that was rewritten checksums tell nothing", async () => {
  const laid = Array.from({ length: 100 }, (_, seq) => intact(seq, false, "10.0.0.9"));
  laid.splice(50, 0, intact(1000));
  const path = file(pcap(laid));
  const read = await readAll([path]);
  expect(read.counters).toMatchObject({ requests: 101 - read.counters.checksumErrors });
  expect(read.counters.checksumErrors).toBeLessThan(16);
  expect(read.warnings).toEqual([
    `nearly all checksums in "${path}" are wrong, as if it had been rewritten: they are not looked at`,
  ]);
  expectToAddUp(read);
});

test("responses of services that are asked for come with the requests, as far as they are wanted", async () => {
  const from = { source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 80, destinationPort: 50000 };
  const laid = [
    { time: NOW, data: build({ seq: 1, flags: SYN }).bytes },
    { time: NOW + 1, data: build({ ...from, seq: 100, flags: SYN | ACK }).bytes },
    { time: NOW + 2, data: build({ ...from, seq: 101, flags: ACK }).bytes },
    { time: NOW + 3, data: build({ ...from, seq: 101, payload: 1000 }).bytes },
    { time: NOW + 4, data: build({ ...from, seq: 101, payload: 10, sourcePort: 81 }).bytes },
    request(2, 5),
    {
      time: NOW + 6,
      data: build({ ...from, seq: 1101, payload: `HTTP/1.1 200 OK${"x".repeat(5000)}` }).bytes,
    },
  ];
  const path = file(pcap(laid));
  const answering = optionsFor([path]).services.map((service) => {
    return { ...service, payload: { bytes: 344, takesHeads: true } };
  });
  const read = await readAll([path], { answering });
  expect(read.seqs).toEqual([1, 100, 101, 2, 1101]);
  expect(read.indexes).toEqual([1, OUTGOING + 1, OUTGOING + 1, 1, OUTGOING + 1]);
  expect(read.captured).toEqual([40, 40, 384, 50, 40 + 4096]);
  expect(read.counters).toMatchObject({ requests: 2, answers: 3, notWanted: 5, requestBytes: 90 });
  expectToAddUp(read);
  expect((await readAll([path])).seqs).toEqual([1, 2]);
});

test("datagrams that services answer come too, also put together from fragments", async () => {
  const service = { address: null, family: 4 as const, port: 53, index: 1, transport: "udp" as const };
  const udp = (payload: number) => ({ protocol: 17, seq: (20 + payload) * 65536 });
  const from = { source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 53, destinationPort: 50000 };
  // What is behind 20 bytes of a header of TCP, of which the first 8 are that of UDP.
  const pieces = [
    { ...from, ...udp(1204), id: 7, moreFragments: true, payload: 604 },
    { ...from, protocol: 17, id: 7, fragmentOffset: 78, payload: 580 },
  ];
  const laid = [
    { destinationPort: 53, ...udp(10), payload: 10 },
    { ...from, ...udp(30), payload: 30 },
    { ...from, ...udp(0), payload: 0 },
    { ...from, ...udp(30), sourcePort: 54, payload: 30 },
    ...pieces,
  ].map((fields, index) => ({ time: NOW + index, data: build(fields).bytes }));
  const path = file(pcap(laid));
  const answering = [{ ...service, payload: { bytes: 700, takesHeads: false } }];
  const read = await readAll([path], { services: [service], answering });
  expect(read.indexes).toEqual([1, OUTGOING + 1, OUTGOING + 1, OUTGOING + 1]);
  expect(read.captured).toEqual([50, 70, 40, 28 + 700]);
  expect(read.counters).toMatchObject({ requests: 1, answers: 3, fragments: 1, notWanted: 4 });
  expectToAddUp(read);
});

test("a response that two interfaces saw comes once, and one that was sent again comes twice", async () => {
  const from = { source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 80, destinationPort: 50000, id: 9 };
  const answer = (seq: number, time: number, at: number): Laid => {
    return { time: NOW + time, data: build({ ...from, seq, payload: 20 }).bytes, interface: at };
  };
  const laid = [request(1, 0), answer(100, 1, 0), answer(100, 2, 1), answer(120, 3, 0), answer(120, 900, 0)];
  const path = file(pcap(laid, { magic: MODIFIED }));
  const answering = optionsFor([path]).services.map((service) => {
    return { ...service, payload: { bytes: 512, takesHeads: true } };
  });
  const read = await readAll([path], { answering });
  expect(read.seqs).toEqual([1, 100, 120, 120]);
  expectToAddUp(read);
});

test("requests come in order, other packets are counted", async () => {
  const path = file(
    pcap([
      { time: NOW, data: build({ seq: 9, flags: SYN }).bytes },
      { time: NOW + 1, data: build({ seq: 10, flags: ACK }).bytes },
      { time: NOW + 2, data: build({ seq: 10, flags: ACK }).bytes },
      { time: NOW + 3, data: build({ seq: 10, payload: 500 }).bytes.subarray(0, 200), length: 554 },
      { time: NOW + 4, data: build({ seq: 11, destinationPort: 22 }).bytes },
      { time: NOW + 5, data: build({}).bytes.subarray(0, 40), length: 54 },
      { time: NOW + 6, data: new Uint8Array(60) },
      { time: NOW + 6, data: build({ totalLength: 10 }).bytes },
      { time: NOW + 5, data: build({ payload: 60, moreFragments: true }).bytes },
    ]),
  );
  const read = await readAll([path]);
  expect(read.seqs).toEqual([9, 10, 10]);
  expect(read.times).toEqual([NOW, NOW + 1, NOW + 3]);
  expect(read.summary.firstTime).toBe(NOW);
  expect(read.counters).toMatchObject({
    files: 1,
    filesDone: 1,
    packets: 9,
    requests: 3,
    pureAcks: 1,
    notWanted: 1,
    headersCut: 1,
    notIp: 1,
    malformed: 1,
    fragments: 1,
    fragmentsIncomplete: 1,
    snapped: 1,
    unordered: 1,
    requestBytes: 40 + 40 + 540,
    failures: 0,
  });
  expect(read.counters.bytes).toBe(read.counters.bytesTotal);
  expectToAddUp(read);
});

describe("several files", () => {
  test("are merged by time", async () => {
    const packets = requests(3000);
    const parts = [0, 1, 2].map((part) =>
      file(pcap(packets.filter((_, index) => (index >> 4) % 3 === part))),
    );
    const odd = file(pcap(packets.filter((_, index) => index % 2 === 1)));
    const even = file(gzipSync(pcap(packets.filter((_, index) => index % 2 === 0))));
    expect((await readAll([odd, even])).seqs).toEqual(numbers(3000));
    expect((await readAll(parts)).seqs).toEqual(numbers(3000));
  });

  test("can be many, and named in any order", async () => {
    const packets = requests(600);
    const parts = numbers(300).map((part) => file(pcap(packets.slice(part * 2, part * 2 + 2))));
    const read = await readAll(parts.toReversed());
    expect(read.seqs).toEqual(numbers(600));
    expect(read.counters).toMatchObject({ files: 300, filesDone: 300, unordered: 0 });
  });

  test("show the same packet once", async () => {
    const paths = [file(pcap(requests(50))), file(pcap(requests(50)))];
    const read = await readAll(paths);
    expect(read.seqs).toEqual(numbers(50));
    expect(read.counters.duplicates).toBe(50);
    expectToAddUp(read);
  });

  test("are read on when one of them is broken", async () => {
    const packets = requests(100);
    const broken = file(concat(pcap(packets.slice(0, 10)), new Uint8Array(50).fill(0xff)));
    const size = pcap(packets.slice(0, 10)).length;
    const read = await readAll([broken, file(pcap(packets.slice(10)))]);
    expect(read.seqs).toEqual(numbers(100));
    expect(read.failures).toHaveLength(1);
    expect(read.failures[0]!.message).toStartWith(
      `Cannot read "${broken}" to its end: at byte ${size}: a packet of`,
    );
    expect(read.counters.failures).toBe(1);
  });
});

test("a directory stands for the traces in it", async () => {
  const directory = join(scratch, "directory");
  mkdirSync(join(directory, "deeper"), { recursive: true });
  const packets = requests(30);
  writeFileSync(join(directory, "b.log"), zstdCompressSync(pcap(packets.slice(10, 20))));
  writeFileSync(join(directory, "a"), pcap(packets.slice(0, 10)));
  writeFileSync(join(directory, "c.pcap"), gzipSync(pcap(packets.slice(20))));
  writeFileSync(join(directory, "notes.txt"), "not a trace");
  writeFileSync(join(directory, "notes.gz"), gzipSync("not a trace"));
  writeFileSync(join(directory, "empty"), "");
  const read = await readAll([directory]);
  expect(read.seqs).toEqual(numbers(30));
  expect(read.summary.files.map(({ path }) => path.slice(directory.length + 1))).toEqual([
    "a",
    "b.log",
    "c.pcap",
  ]);
  const left = (name: string, reason: string) => `"${join(directory, name)}" is left out: ${reason}`;
  expect(read.warnings.toSorted()).toEqual([
    left("deeper", "it is a directory"),
    left("empty", "it is too short for a trace"),
    left("notes.gz", "at byte 0: it is neither pcap nor pcapng"),
    left("notes.txt", "it is neither pcap nor pcapng"),
  ]);
});

describe("compressed", () => {
  const packets = requests(5000, 400);
  const whole = pcap(packets);
  const half = whole.length >> 1;

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["gzip", (bytes) => gzipSync(bytes)],
    ["zstd", (bytes) => zstdCompressSync(bytes)],
  ])("%s: in one part, in several, and cut off", async (_, compress) => {
    expect((await readAll([file(compress(whole))])).seqs).toEqual(numbers(5000));
    const parts = concat(compress(whole.subarray(0, half)), compress(whole.subarray(half)));
    const read = await readAll([file(parts)]);
    expect(read.seqs).toEqual(numbers(5000));
    expect(read.counters.bytes).toBe(parts.length);
    expect(read.failures).toEqual([]);

    const compressed = compress(whole);
    const cut = await readAll([file(compressed.subarray(0, Math.floor(compressed.length * 0.9)))]);
    expect(cut.seqs.length).toBeGreaterThan(500);
    expect(cut.seqs).toEqual(numbers(cut.seqs.length));
    expect(cut.failures).toHaveLength(1);
    expect(cut.failures[0]!.message).toMatch(
      / to its end: at byte [0-9]{6,}: the compressed data is cut off$/,
    );
  });

  test("zstd: skippable frames, a checksum, no content size, frames of one small block each", async () => {
    const skippable = Uint8Array.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const { stdout } = Bun.spawnSync(["zstd", "-qc", "--check", "--no-content-size"], { stdin: whole });
    expect((await readAll([file(concat(skippable, new Uint8Array(stdout), skippable))])).seqs).toEqual(
      numbers(5000),
    );
    const small = Array.from({ length: Math.ceil(whole.length / 1000) }, (_, index) =>
      zstdCompressSync(whole.subarray(index * 1000, index * 1000 + 1000)),
    );
    expect((await readAll([file(concat(...small))])).seqs).toEqual(numbers(5000));
  });

  test("zstd: data after the last frame that is not a frame is an error; zeros after gzip are not", async () => {
    const garbage = await readAll([
      file(concat(zstdCompressSync(whole), new TextEncoder().encode("garbage"))),
    ]);
    expect(garbage.seqs).toEqual(numbers(5000));
    expect(garbage.failures[0]!.message).toContain("not a zstd frame");
    const zeros = await readAll([file(concat(gzipSync(whole), new Uint8Array(5000)))]);
    expect(zeros.seqs).toEqual(numbers(5000));
    expect(zeros.failures).toEqual([]);
  });

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["gzip", (bytes) => gzipSync(bytes)],
    ["zstd", (bytes) => zstdCompressSync(bytes)],
  ])("%s: corrupt data ends the reading, and the packets before it are right", async (_, compress) => {
    // Of what cannot be compressed, so that the corrupt part is that of the content.
    const noise = (seq: number) => crypto.getRandomValues(new Uint8Array(1000)).fill(seq, 0, 1);
    const large = pcap(
      numbers(3000).map((seq) => ({ time: NOW + seq, data: build({ seq, payload: noise(seq) }).bytes })),
    );
    const compressed = new Uint8Array(compress(large));
    compressed.fill(0xee, compressed.length >> 1, (compressed.length >> 1) + 200_000);
    const read = await readAll([file(compressed)]);
    expect(read.failures.length).toBeLessThanOrEqual(1);
    expect(read.seqs.slice(0, 1300)).toEqual(numbers(1300));
  });
});

test("compressed data that is corrupt or cut anywhere ends the reading", async () => {
  const packets = requests(400, 300);
  const [gzip, zstd] = [
    new Uint8Array(gzipSync(pcap(packets))),
    new Uint8Array(zstdCompressSync(pcap(packets))),
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(gzip, zstd),
      fc.nat(),
      fc.uint8Array({ maxLength: 12 }),
      fc.boolean(),
      async (good, where, what, isCut) => {
        const at = 4 + (where % (good.length - 16));
        const bytes = isCut ? good.slice(0, at) : good.slice();
        if (!isCut) bytes.set(what, at);
        const result = await readHere([file(bytes, "corrupt")]).catch((error) => error);
        if (result instanceof Error) expect(result.name).toBe("Failure");
        else if (isCut) {
          expect(result.failures).toHaveLength(1);
          expect(result.seqs).toEqual(numbers(result.seqs.length));
        }
      },
    ),
    seeded(200),
  );
});

test("all files are read as often as requested, and each record has the number of its pass", async () => {
  const paths = [
    file(pcap(requests(20))),
    file(gzipSync(pcap(requests(20).map(({ data }) => ({ data, time: NOW + 5e6 }))))),
  ];
  const read = await readAll(paths, { loops: 3 });
  expect(read.loops).toEqual([0, 1, 2].flatMap((loop) => Array(40).fill(loop)));
  expect(read.seqs).toEqual(Array(6).fill(numbers(20)).flat());
  expect(read.counters).toMatchObject({ packets: 120, files: 6, filesDone: 6, unordered: 0 });
  expect(read.counters.bytes).toBe(read.counters.bytesTotal);
});

test.each<[object, number[]]>([
  [{ start: { after: 5 } }, [5, 6, 7, 8, 9]],
  [{ end: { after: 3 } }, [0, 1, 2, 3]],
  [{ start: { at: NOW + 2 }, end: { at: NOW + 4 } }, [2, 3, 4]],
  [{ start: { after: 8 }, end: { at: NOW + 8 } }, [8]],
  [{ start: { after: 80 } }, []],
])("only what was captured within %p", async (bounds, seqs) => {
  const read = await readAll([file(pcap(requests(10)))], bounds);
  expect(read.seqs).toEqual(seqs);
  expect(read.counters.outside).toBe(10 - seqs.length);
  expectToAddUp(read);
});

test("flows below the bound of sampling are left out", async () => {
  const packets = numbers(400).map((port) => ({ data: build({ sourcePort: 1000 + port, seq: port }).bytes }));
  const path = file(pcap(packets));
  const read = await readAll([path], { leftOut: 2 ** 31 });
  expect(read.counters.unsampled).toBeWithin(100, 300);
  expectToAddUp(read);
  expect((await readAll([path], { leftOut: 2 ** 32 })).seqs).toEqual([]);
});

describe("refused", () => {
  test.each<[string, () => string[], number, string]>([
    ["a file that is not there", () => [join(scratch, "missing")], 2, "no such file"],
    ["text", () => [file("GET / HTTP/1.1")], 2, "it is neither pcap nor pcapng"],
    ["compressed text", () => [file(gzipSync("GET / HTTP/1.1"))], 2, "it is neither pcap nor pcapng"],
    ["an empty file", () => [file("")], 2, "it is empty"],
    [
      "a directory without traces",
      () => [mkdtempSync(join(scratch, "empty-"))],
      2,
      "there is no trace in it",
    ],
  ])("%s", async (_, paths, exitCode, reason) => {
    const failure = await readAll(paths()).catch((error) => error);
    expect(failure).toMatchObject({ name: "Failure", exitCode });
    expect(failure.message).toMatch(/^Cannot read ".*": /);
    expect(failure.message).toEndWith(reason);
  });

  test("standard input more than once", async () => {
    const failure = await readAll(["-"], { loops: 2 }).catch((error) => error);
    expect(failure).toMatchObject({ exitCode: 2 });
  });
});

test("a trace without packets is no error", async () => {
  const read = await readAll([file(pcap([])), file(section())]);
  expect(read).toMatchObject({ seqs: [], failures: [], summary: { firstTime: Infinity } });
});

describe("standard input", () => {
  const run = (...options: string[]) =>
    Bun.spawn([process.execPath, join(import.meta.dir, "reads-input.ts"), ...options], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["plain", (bytes) => bytes],
    ["gzip", (bytes) => gzipSync(bytes)],
    ["zstd", (bytes) => zstdCompressSync(bytes)],
  ])("%s, in pieces", async (_, compress) => {
    const child = run();
    const bytes = compress(pcap(requests(300, 100)));
    for (let at = 0; at < bytes.length; at += 5000) {
      child.stdin.write(bytes.subarray(at, at + 5000));
      await child.stdin.flush();
    }
    child.stdin.end();
    const lines = (await new Response(child.stdout).text()).trim().split("\n");
    expect(JSON.parse(lines.pop()!)).toEqual({ packets: 300, failures: [] });
    expect(lines.map(Number)).toEqual(numbers(300));
  });

  test("what has arrived is delivered at once, and a silent input can be stopped", async () => {
    const child = run("stop");
    child.stdin.write(pcap(requests(3)));
    await child.stdin.flush();
    // It stays open: nothing more comes.
    const lines = (await new Response(child.stdout).text()).trim().split("\n");
    expect(lines[0]).toBe("0");
    expect(await child.exited).toBe(0);
    child.stdin.end();
  });
});

describe("a named pipe", () => {
  const pipe = join(scratch, "pipe");

  test("is read once, and merged", async () => {
    Bun.spawnSync(["mkfifo", pipe]);
    const packets = requests(2000, 100);
    const first = file(pcap(packets.filter((_, index) => index % 2 === 0)));
    const second = file(pcap(packets.filter((_, index) => index % 2 === 1)));
    const writer = Bun.spawn(["cp", first, pipe]);
    expect((await readAll([pipe, second])).seqs).toEqual(numbers(2000));
    expect(await writer.exited).toBe(0);
  });

  test("is not read twice", async () => {
    const failure = await readAll([pipe], { loops: 2 }).catch((error) => error);
    expect(failure).toMatchObject({ exitCode: 2, message: expect.stringContaining("can be read only once") });
  });
});

describe("a large file", () => {
  const path = join(scratch, "large.pcap");

  test("is read in bounded memory", async () => {
    const bytes = writeTrace(path, { bytes: 200e6, payload: 1448, every: 1 });
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    const reader = startTraceReader(optionsFor([path], { ringBytes: 16 << 20 }), () => {});
    await reader.ready;
    const ring = new TraceRing(reader.memory);
    let largest = 0;
    let read = 0;
    let last = -Infinity;
    while (!ring.isEnd) {
      ring.drain((packet) => {
        read += packet.end - packet.ip;
        if (packet.time < last) throw new Error("out of order");
        last = packet.time;
      }, 500);
      largest = Math.max(largest, process.memoryUsage.rss() - before);
      await Bun.sleep(0);
    }
    expect(await reader.ended).toEqual([]);
    expect(read).toBe(Math.floor((bytes - 24) / 1518) * 1488);
    expect(largest).toBeLessThan(80e6);
  });

  test("is read by a thread that blocks, and is woken when there is something", async () => {
    const wake = libc.eventfd(0, EFD_NONBLOCK);
    const epoll = libc.epoll_create1(0);
    const event = new Uint32Array(new ArrayBuffer(16));
    event[0] = EPOLLIN;
    libc.epoll_ctl(epoll, EPOLL_CTL_ADD, wake, address(event));
    const count = new BigUint64Array(new ArrayBuffer(8));
    try {
      const reader = startTraceReader(optionsFor([path], { wake, loops: 2 }), () => {});
      await reader.ready;
      const ring = new TraceRing(reader.memory);
      let read = 0;
      let inVain = 0;
      // From here on to the end no event loop turns in this thread.
      while (!ring.isEnd) {
        const drained = ring.drain((packet) => (read += packet.end - packet.ip), 256);
        if (drained > 0) continue;
        ring.setWaiting(true);
        if (ring.isEmpty && !ring.isEnd && libc.epoll_wait(epoll, address(event), 1, 5000) === 0) inVain++;
        ring.setWaiting(false);
        libc.read(wake, address(count), 8);
      }
      expect(inVain).toBe(0);
      expect(read).toBe(reader.counters().requestBytes);
      expect(await reader.ended).toEqual([]);
    } finally {
      libc.close(epoll);
      libc.close(wake);
    }
  });

  test("is read only as far as there is room, and can be stopped then", async () => {
    const reader = startTraceReader(optionsFor([path]), () => {});
    await reader.ready;
    await until("the ring to be full", () => reader.counters().requests > 300);
    reader.stop();
    expect(await reader.ended).toEqual([]);
    expect(reader.counters().requestBytes).toBeLessThan(1 << 20);
    const ring = new TraceRing(reader.memory);
    while (ring.drain(() => {}, 100) > 0);
    expect(ring.isEnd).toBe(true);
  });
});

test("of any packets each is counted once, and the reader ends", async () => {
  const good = fc.record({
    payload: fc.integer({ min: 0, max: 40 }),
    seq: fc.nat(1000),
    flags: fc.nat(63),
    destinationPort: fc.constantFrom(80, 81),
    moreFragments: fc.boolean(),
    fragmentOffset: fc.constantFrom(0, 0, 1, 5),
    tags: fc.constantFrom<number[][]>([], [0x8100]),
  });
  const packet = fc
    .tuple(
      good,
      fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 3 }),
      fc.integer({ min: 0, max: 100 }),
    )
    .map(([frame, changes, size]) => {
      const data = build(frame).bytes;
      for (const [at, value] of changes) if (at < data.length) data[at] = value;
      return { data: data.subarray(0, size > 80 ? data.length : size), length: data.length };
    });
  const linkType = fc.constantFrom(0, 1, 9, 50, 101, 113, 276, 147);
  await fc.assert(
    fc.asyncProperty(fc.array(packet, { maxLength: 60 }), linkType, async (packets, linkType) => {
      const read = await readHere([file(pcap(packets, { linkType }), "random")]);
      expect(read.counters.packets).toBe(packets.length);
      expect(read.seqs.length).toBe(read.counters.requests);
      expectToAddUp(read);
    }),
    seeded(200),
  );
});

describe("a clock that was set while a trace was made", () => {
  const HOUR = 3600e6;
  const YEAR = 365.25 * 24 * HOUR;
  /** Requests every 100 ms; `by` is what the stamp of each differs from that. */
  const stamped = (by: (index: number) => number) =>
    numbers(60).map((index) => request(index, index * 100_000 + by(index)));
  const gapsOf = ({ times }: Read) => times.slice(1).map((time, index) => time - times[index]!);

  test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ["plain", (bytes) => bytes],
    ["gzip", (bytes) => gzipSync(bytes)],
  ])("plays on as if it was not, and says so once for all loops (%s)", async (_, wrap) => {
    const path = file(wrap(pcap(stamped((index) => (index < 30 ? HOUR : 0)))));
    const read = await readAll([path], { loops: 2 });
    expect(read.seqs).toEqual([...numbers(60), ...numbers(60)]);
    for (const gap of gapsOf(read).toSpliced(59, 1)) expect(gap).toBeWithin(0, 100_001);
    expect(read.counters).toMatchObject({ clockSteps: 2, strayStamps: 0, unordered: 0 });
    expect(read.steps).toEqual([{ path, from: NOW + 2_900_000 + HOUR, to: NOW + 3_000_000 }]);
  });

  test("one packet with a stamp of its own moves no other one", async () => {
    for (const odd of [0, 29, 59]) {
      const read = await readAll([file(pcap(stamped((index) => (index === odd ? 20 * YEAR : 0))))]);
      expect(read.seqs).toEqual(numbers(60));
      expect(Math.max(...gapsOf(read))).toBeLessThanOrEqual(200_000);
      expect(read.counters.strayStamps + read.counters.clockSteps).toBe(1);
    }
  });

  test("the last packet before what cannot be read is delivered", async () => {
    const whole = pcap(stamped((index) => index * HOUR));
    const read = await readAll([file(whole.subarray(0, -5))]);
    expect(read.seqs).toEqual(numbers(59));
    expect(read.failures).toHaveLength(1);
    expect(read.counters).toMatchObject({ clockSteps: 0, strayStamps: 0 });
  });

  test("in one of several files leaves the others alone; files that are days apart follow each other", async () => {
    const packets = stamped(() => 0);
    const odd = packets.filter((_, index) => index % 2 === 1);
    const even = packets.filter((_, index) => index % 2 === 0);
    const moved = odd.map((one, index) => (index < 15 ? one : { ...one, time: one.time! - HOUR }));
    const both = await readAll([file(pcap(even)), file(pcap(moved))]);
    expect(both.seqs.toSorted((one, other) => one - other)).toEqual(numbers(60));
    expect(Math.max(...gapsOf(both))).toBeLessThanOrEqual(200_000);
    expect(both.counters.clockSteps).toBe(1);

    const later = odd.map((one) => ({ ...one, time: one.time! + 7 * 24 * HOUR }));
    const apart = await readAll([file(pcap(later)), file(pcap(even))]);
    expect(apart.seqs).toEqual([
      ...numbers(30).map((index) => 2 * index),
      ...numbers(30).map((index) => 2 * index + 1),
    ]);
    expect(Math.max(...gapsOf(apart))).toBeLessThanOrEqual(200_000);
    expect(apart.steps).toMatchObject([{ path: null }]);
  });

  test("--start and --end: times by the clock as it was, seconds on the timeline", async () => {
    const path = file(pcap(stamped((index) => (index < 30 ? 100 - NOW : 0))));
    const at = await readAll([path], { start: { at: NOW + 4_000_000 }, end: { at: NOW + 4_900_000 } });
    expect(at.seqs).toEqual(numbers(60).slice(40, 50));
    const after = await readAll([path], { start: { after: 2_000_000 }, end: { after: 3_250_000 } });
    expect(after.seqs).toEqual(numbers(60).slice(20, 33));
  });

  test("nanoseconds where the file promises microseconds", async () => {
    const packets = numbers(20).map((index) => ({
      ...request(index),
      time: NOW,
      fraction: 30_000_000 * (index + 1),
    }));
    const bytes = pcap(packets);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const record = 16 + packets[0]!.data.length;
    for (const [index, { fraction }] of packets.entries())
      view.setUint32(24 + index * record + 4, fraction, true);
    const { times } = await readAll([file(bytes)]);
    expect(times).toEqual(numbers(20).map((index) => NOW + 30_000 * (index + 1)));
  });
});
