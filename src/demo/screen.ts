/** Renders what the demo shows, and judges its result. */
import { colors } from "consola/utils";
import type { Sent } from "./client.ts";
import type { Served } from "./service.ts";

export interface Picture {
  /** The command line that is shown to do the copying. */
  command: string;
  addresses: { client: string; online: string; target: string };
  /** Seconds of load so far, and as many as are planned. */
  seconds: number;
  duration: number;
  /** Requests that the client is to send. */
  requests: number;
  client: Sent;
  online: Served;
  target: Served;
  /** Per second, over the last second or so. */
  rates: { client: number; online: number; target: number };
  /** us, from a packet's capture to its replay being handed to the kernel; null before the first report. */
  lag: { p50: number; p99: number } | null;
  /** CPU seconds of `xcopy copy` since its start, and the share of one core over the load. */
  cpu: { seconds: number; share: number };
}

/** Seconds of delay that are told. */
const DELAY = 2;

const whole = (value: number) => Math.round(value).toLocaleString("en-US");
const milliseconds = (us: number) => (us / 1000).toFixed(us < 10_000 ? 2 : 0);

function host(name: string, address: string, verb: string, count: number, rate: number): string {
  return [
    `  ${colors.bold(name.padEnd(8))}`,
    colors.dim(address.padEnd(16)),
    verb.padEnd(7),
    colors.bold(whole(count).padStart(8)),
    colors.dim(`${whole(rate)}/s`.padStart(9)),
  ].join("");
}

/** Whether a slow machine keeps the client from sending at its rate. */
function isLate({ seconds, duration, requests, client }: Picture): boolean {
  return seconds - (client.sent / requests) * duration > DELAY;
}

const share = ({ client, requests }: Picture) => `${Math.floor((client.sent / requests) * 100)} %`;

function bar(picture: Picture): string {
  const { seconds, duration, client, requests } = picture;
  const width = 40;
  const full = Math.min(width, Math.round((client.sent / requests) * width));
  const text = isLate(picture)
    ? `${seconds.toFixed(0)} s, ${share(picture)} of the requests`
    : `${Math.min(seconds, duration).toFixed(0)} of ${duration} s`;
  return `  ${colors.cyan("━".repeat(full))}${colors.dim("━".repeat(width - full))}  ${text}`;
}

function cost({ cpu, target }: Picture): string {
  const each =
    target.received > 0 ? `, ${((cpu.seconds / target.received) * 1e6).toFixed(0)} us a request` : "";
  return `${(cpu.share * 100).toFixed(1)} % of a core${each}`;
}

/** The whole screen, without a line feed at the end. */
export function renderScreen(picture: Picture): string {
  const { addresses, client, online, target, rates, lag } = picture;
  const behind = online.received - target.received;
  return [
    "",
    `  ${colors.bold("xcopy demo")}  the live requests of one service, copied to another`,
    "",
    host("client", addresses.client, "sent", client.sent, rates.client),
    colors.dim("    │"),
    colors.dim("    ▼"),
    host("online", addresses.online, "served", online.received, rates.online),
    `${colors.dim("    │")}  ${colors.cyan(picture.command)}`,
    colors.dim("    ▼"),
    host("target", addresses.target, "served", target.received, rates.target),
    "",
    `  behind   ${whole(Math.max(0, behind))} requests`,
    `  lag      ${lag ? `p50 ${milliseconds(lag.p50)} ms, p99 ${milliseconds(lag.p99)} ms` : "not measured yet"}`,
    `  CPU      ${cost(picture)}`,
    "",
    bar(picture),
  ].join("\n");
}

/** The same in one line, for logs. */
export function renderLine(picture: Picture): string {
  const { client, online, target, lag, seconds } = picture;
  return [
    `${seconds.toFixed(0).padStart(2)} s${isLate(picture) ? `, ${share(picture)}` : ""}`,
    `client sent ${whole(client.sent)}`,
    `online served ${whole(online.received)}`,
    `target served ${whole(target.received)}`,
    `lag p99 ${lag ? `${milliseconds(lag.p99)} ms` : "-"}`,
    `CPU ${(picture.cpu.share * 100).toFixed(1)} %`,
  ].join("   ");
}

export interface Verdict {
  good: boolean;
  lines: string[];
}

/** Good only if every request was answered by online and reached the target exactly once. */
export function judge(picture: Picture): Verdict {
  const { client, online, target, seconds } = picture;
  const faults = [
    [client.sent - client.answered, "got no response from online"],
    [client.sent - online.distinct, "did not reach online"],
    [online.distinct - target.distinct, "did not reach the target"],
    [target.received - target.distinct - target.foreign, "reached the target a second time"],
    [target.foreign, "reached the target though no client sent them"],
  ].filter(([count]) => count !== 0) as [number, string][];
  const good = faults.length === 0 && client.sent > 0;
  const slowly = isLate(picture) ? ` (in ${seconds.toFixed(0)} s; this machine is slow)` : "";
  const everything = `Each of the ${whole(client.sent)} requests reached the target exactly once${slowly}; the client saw no error.`;
  return {
    good,
    lines: good
      ? [everything]
      : faults.length > 0
        ? faults.map(([count, what]) => `${whole(count)} requests ${what}.`)
        : ["The client sent nothing."],
  };
}
