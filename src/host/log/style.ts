/** How messages are written: for people or for programs, and for systemd's journal. */
import { fstatSync } from "node:fs";
import { HAS_PARENT } from "../manager/manager.ts";

export type LogFormat = "text" | "json";
export type Level = "info" | "warning" | "error";

/** What is said. */
export interface Message {
  level: Level;
  text: string;
  time: Date;
}

/** Priorities of syslog(3), which sd-daemon(3) takes at the start of a line. */
const PRIORITIES: Record<Level, number> = { error: 3, warning: 4, info: 6 };

export interface Style {
  format: LogFormat;
  /** Whether stderr is systemd's journal. */
  isJournal: boolean;
  /** The command that runs. */
  command: string;
  /** The name of a run that is one of several: in a file, which they may share; on stderr their parent says it. */
  name?: string | undefined;
}

/**
 * Whether a descriptor is the one that systemd connected to its journal (systemd.exec(5), JOURNAL_STREAM); one of several runs has a
 * pipe to its parent in place of it.
 */
export function isToJournal(fd: number, environment: Record<string, string | undefined>): boolean {
  const [device, inode] = (environment.JOURNAL_STREAM ?? "").split(":");
  if (!device || !inode) return false;
  if (environment[HAS_PARENT] !== undefined) return true;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}` === device && `${ino}` === inode;
  } catch {
    return false;
  }
}

/** A message as one line of JSON. */
function asJson({ level, text, time }: Message, command: string): string {
  return JSON.stringify({ time: time.toISOString(), level, command, pid: process.pid, message: text });
}

/** A message for stderr, without the last line end: the journal has the time itself, and is told the level of each line. */
export function forStderr(message: Message, { format, isJournal, command }: Style): string {
  const { level, text } = message;
  const written =
    format === "json" ? asJson(message, command) : level === "warning" ? `warning: ${text}` : text;
  return isJournal ? written.replaceAll(/^/gm, `<${PRIORITIES[level]}>`) : written;
}

/** A message for a file, with the last line end. */
export function forFile(message: Message, { format, command, name }: Style): string {
  if (format === "json") {
    const line = asJson(message, command);
    return name === undefined ? `${line}\n` : `{"name":${JSON.stringify(name)},${line.slice(1)}\n`;
  }
  const start = `${message.time.toISOString()} ${message.level}${name === undefined ? "" : ` ${name}:`}`;
  return message.text
    .split("\n")
    .map((line) => `${start} ${line}\n`)
    .join("");
}

let current: Style = {
  format: "text",
  isJournal: isToJournal(2, process.env),
  command: "",
  name: process.env[HAS_PARENT],
};

/** How this process writes its messages. */
export function styleOfProcess(): Style {
  return current;
}

/** Sets it: from the words of the command line at first, then from the options that were read. */
export function setStyle(changed: Partial<Style>): void {
  current = { ...current, ...changed };
}

/** Prints a message for which there is no log, before there is a run. */
export function say(level: Level, text: string): void {
  console.error(forStderr({ level, text, time: new Date() }, current));
}
