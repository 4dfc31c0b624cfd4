/** The machine code that makes system calls in every thread is what its assembly says, on both architectures. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARM64, X64 } from "../../src/native/credentials/every-thread.ts";

const SOURCES: Record<string, [code: string, target: string, assembly: string]> = {
  x64: [
    X64,
    "x86_64-linux-gnu",
    `.intel_syntax noprefix
      push rbx
      lea rbx, [rip + table]
   1: mov rax, [rbx]
      test rax, rax
      js 2f
      mov rdi, [rbx + 8]
      mov rsi, [rbx + 16]
      mov rdx, [rbx + 24]
      mov r10, [rbx + 32]
      mov r8, [rbx + 40]
      syscall
      add rbx, 48
      jmp 1b
   2: pop rbx
      ret
      .balign 8
      table:`,
  ],
  arm64: [
    ARM64,
    "aarch64-linux-gnu",
    `adr x9, table
   1: ldr x8, [x9], #8
      tbnz x8, #63, 2f
      ldp x0, x1, [x9], #16
      ldp x2, x3, [x9], #16
      ldr x4, [x9], #8
      svc #0
      b 1b
   2: ret
      .balign 8
      table:`,
  ],
};

test.each(Object.entries(SOURCES))("%s", (_, [code, target, assembly]) => {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-code-"));
  try {
    const [source, object, image] = ["code.s", "code.o", "code"].map((name) => join(directory, name));
    writeFileSync(source!, `.globl _start\n_start:\n${assembly}\n`);
    const commands = [
      ["clang", "-c", "-target", target, "-o", object!, source!],
      ["ld.lld", "--oformat=binary", "-Ttext=0", "-o", image!, object!],
    ];
    for (const command of commands) expect(Bun.spawnSync(command).stderr.toString()).toBe("");
    expect(readFileSync(image!).toHex()).toBe(code);
    // The table, which begins there, has words of 8 bytes.
    expect((code.length / 2) % 8).toBe(0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
