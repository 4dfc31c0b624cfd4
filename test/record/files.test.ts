/** Which files are made, with which permissions, and which are removed. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { FileError, Files, type FilesOptions, openFile } from "../../src/record/files.ts";
import { Blocks } from "../../src/record/pcapng.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "xcopy-files-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const START = new Date(2026, 10, 3, 4, 5, 6);
const later = (seconds: number) => new Date(START.getTime() + seconds * 1000);

const options = (some: Partial<FilesOptions> = {}): FilesOptions => ({
  path: join(directory, "cap.pcapng"),
  rotates: true,
  compressed: false,
  overwrite: false,
  keep: 0,
  ...some,
});

const begin = (some: Partial<FilesOptions> = {}) =>
  new Files(options(some), openFile(options(some), START, null));

function blocksOf(bytes: number): Blocks {
  const blocks = new Blocks(1 << 16);
  const memory = new Uint8Array(1000);
  for (let done = 0; done < bytes; done += 1000) blocks.packet(0, 1, 0, memory, 0, 1000, 1000);
  return blocks;
}

const names = () => readdirSync(directory).sort();

const codeOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof FileError) return error.code;
    throw error;
  }
  return "none";
};

describe("a file", () => {
  test("can be read by its owner only", () => {
    const files = begin();
    files.close();
    expect(statSync(join(directory, "cap-0001.pcapng")).mode & 0o777).toBe(0o600);
  });

  test("does not replace another", () => {
    const path = join(directory, "cap.pcapng");
    writeFileSync(path, "precious");
    expect(codeOf(() => openFile(options({ rotates: false }), START, null))).toBe("EEXIST");
    expect(readFileSync(path, "utf8")).toBe("precious");
  });

  test("replaces it with --overwrite, but not what a link points to, and with permissions of its own", () => {
    const [path, elsewhere] = [join(directory, "cap.pcapng"), join(directory, "elsewhere")];
    writeFileSync(elsewhere, "precious", { mode: 0o644 });
    Bun.spawnSync(["ln", "-s", elsewhere, path]);
    const files = begin({ rotates: false, overwrite: true });
    files.write(blocksOf(1000));
    files.close();
    expect(readFileSync(elsewhere, "utf8")).toBe("precious");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("may be a device", () => {
    const files = begin({ path: "/dev/null", rotates: false });
    files.write(blocksOf(1000));
    files.close();
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test("may be a named pipe, if a process reads it", () => {
    const path = join(directory, "pipe.zst");
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    expect(codeOf(() => openFile(options({ path, rotates: false }), START, null))).toBe("ENXIO");
  });

  test.each([
    ["a directory that is not there", "none/cap.pcapng", "ENOENT"],
    ["a directory", "", "EISDIR"],
  ])("cannot be in %s", (_, name, code) => {
    expect(
      codeOf(() => openFile(options({ path: join(directory, name), rotates: false }), START, null)),
    ).toBe(code);
  });
});

describe("the next file", () => {
  test("has the next number, and skips those that are taken", () => {
    writeFileSync(join(directory, "cap-0002.pcapng"), "precious");
    const files = begin();
    files.next(later(1));
    expect(files.path).toBe(join(directory, "cap-0003.pcapng"));
    files.next(later(2));
    files.close();
    expect(files.count).toBe(3);
    expect(names()).toEqual([1, 2, 3, 4].map((number) => `cap-000${number}.pcapng`));
    expect(readFileSync(join(directory, "cap-0002.pcapng"), "utf8")).toBe("precious");
  });

  test("has the time in its name, and a number where that is the same", () => {
    const files = begin({ path: join(directory, "cap-%H%M.pcapng") });
    for (const seconds of [10, 60, 61, 62, 120]) files.next(later(seconds));
    files.close();
    expect(names()).toEqual([
      "cap-0405-0002.pcapng",
      "cap-0405.pcapng",
      "cap-0406-0002.pcapng",
      "cap-0406-0003.pcapng",
      "cap-0406.pcapng",
      "cap-0407.pcapng",
    ]);
  });

  test("removes the oldest of ours, and no other files", () => {
    writeFileSync(join(directory, "cap-0001.pcapng"), "precious");
    const files = begin({ keep: 2 });
    for (let number = 0; number < 4; number++) files.next(later(number));
    files.close();
    expect(names()).toEqual(["cap-0001.pcapng", "cap-0005.pcapng", "cap-0006.pcapng"]);
  });

  test("may have a name that was used before: then it is the newest", () => {
    const files = begin({ path: join(directory, "cap-%H.pcapng"), keep: 2, overwrite: true });
    files.next(later(3600));
    files.next(later(86_400));
    expect(names()).toEqual(["cap-04.pcapng", "cap-05.pcapng"]);
    files.next(later(2 * 3600));
    files.close();
    expect(names()).toEqual(["cap-04.pcapng", "cap-06.pcapng"]);
  });

  test("cannot be made if its directory is gone", () => {
    const path = join(directory, "gone");
    mkdirSync(path);
    const files = begin({ path: join(path, "cap") });
    rmSync(path, { recursive: true });
    expect(codeOf(() => files.next(later(1)))).toBe("ENOENT");
  });

  test("counts its bytes anew, and all bytes", () => {
    const files = begin();
    files.write(blocksOf(3000));
    files.next(later(1));
    files.write(blocksOf(1000));
    files.close();
    expect(files.bytes).toBe(1032);
    expect(files.total).toBe(4 * 1032);
  });
});

test("compressed, the file is whole after every write, one frame", () => {
  const files = begin({ compressed: true, rotates: false });
  const [one, two] = [blocksOf(5000), blocksOf(2000)];
  const path = join(directory, "cap.pcapng.zst");
  files.write(one);
  expect(zstdDecompressSync(readFileSync(path)).length).toBe(one.length);
  files.write(two);
  files.close();
  expect(zstdDecompressSync(readFileSync(path)).length).toBe(one.length + two.length);
  expect(files.total).toBe(statSync(path).size);
  expect(Bun.spawnSync(["zstd", "-l", path]).stdout.toString()).toMatch(/^ +1 +0 /m);
});

test("compressed into a pipe, the frame ends with it", () => {
  const path = join(directory, "pipe.zst");
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const files = begin({ path, compressed: true, rotates: false });
  const [one, two] = [blocksOf(5000), blocksOf(2000)];
  files.write(one);
  files.write(two);
  files.close();
  const bytes = new Uint8Array(files.total);
  expect(readSync(reader, bytes)).toBe(files.total);
  closeSync(reader);
  expect(zstdDecompressSync(bytes).length).toBe(one.length + two.length);
});

/** Runs with a directory on a file system that has room for 64 KB; the tests run as root. */
function onSmallDisk(run: (directory: string) => void): void {
  const small = join(directory, "small");
  mkdirSync(small);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small]).exitCode).toBe(0);
  try {
    run(small);
  } finally {
    Bun.spawnSync(["umount", "-l", small]);
  }
}

test.each([false, true])(
  "a full disk leaves whole blocks, and it is said how many (compressed: %p)",
  (compressed) => {
    onSmallDisk((small) => {
      const files = begin({ path: join(small, "cap.pcapng"), rotates: false, compressed });
      const blocks = blocksOf(48_000);
      const randomize = () => compressed && crypto.getRandomValues(blocks.bytes.subarray(32, 48_000));
      randomize();
      files.write(blocks);
      randomize();
      const before = files.total;
      let error: unknown;
      try {
        files.write(blocks);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(FileError);
      const { message, written } = error as FileError;
      expect(message).toBe("no space left on device");
      expect(statSync(files.path).size).toBe(files.total);
      expect(files.total).toBe(before + written);
      // Compressed it is all or nothing.
      expect(written > 0).toBe(!compressed);
      expect(written % 1032).toBe(0);
      files.close();
      const bytes = readFileSync(files.path);
      expect((compressed ? zstdDecompressSync(bytes) : bytes).length).toBe(blocks.length + written);
    });
  },
);
