/** The command lines of all commands, in the order in which help lists them. */
import { CLEANUP } from "./cleanup.ts";
import type { CommandSpec } from "./command.ts";
import { CONFIG } from "./config.ts";
import { COPY } from "./copy.ts";
import { DEMO } from "./demo.ts";
import { DOCTOR } from "./doctor.ts";
import { INTERCEPT } from "./intercept.ts";
import { KEY } from "./key.ts";
import { RECORD } from "./record.ts";
import { REPORT } from "./report.ts";
import { COMPLETION, MAN } from "./shell.ts";
import { RELOAD, TOP } from "./top.ts";

export const COMMANDS = {
  copy: COPY,
  intercept: INTERCEPT,
  record: RECORD,
  report: REPORT,
  doctor: DOCTOR,
  config: CONFIG,
  top: TOP,
  reload: RELOAD,
  key: KEY,
  demo: DEMO,
  cleanup: CLEANUP,
  completion: COMPLETION,
  man: MAN,
} satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof COMMANDS;
