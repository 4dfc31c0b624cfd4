/** `--protocol`: which protocol module reads the sessions of a service. */

import { Failure } from "../native/failure.ts";
import type { ProtocolName } from "../protocol/names.ts";
import { isWhole } from "./number.ts";

/** As written; `none` leaves sessions as they are. */
const NAMES: Record<string, ProtocolName | null> = { http: "http", mysql: "mysql", none: null };
export const MYSQL_PORT = 3306;

/** A module or none, and the port of the services it is for; null: all services that no other choice names. */
export interface ProtocolChoice {
  port: number | null;
  name: ProtocolName | null;
}

/** All values of `--protocol`. `speaksMysql`: an option about MySQL is given. Throws a Failure (exit code 2). */
export function parseProtocols(values: readonly string[], speaksMysql: boolean): ProtocolChoice[] {
  const choices = values.flatMap((value) => value.split(",").map(parseChoice));
  if (!speaksMysql || choices.some(({ name }) => name === "mysql")) return choices;
  if (choices.some(({ port }) => port === null || port === MYSQL_PORT)) {
    throw new Failure(
      "Cannot use options about MySQL: --protocol names no service that speaks it",
      'Name one, for example "--protocol 3306=mysql", or leave them out.',
      2,
    );
  }
  return choices;
}

function parseChoice(text: string): ProtocolChoice {
  const [first, second, ...rest] = text.trim().split("=");
  const [port, written] = second === undefined ? [null, first!] : [first!, second];
  const isName = Object.hasOwn(NAMES, written);
  const isPort = port === null || isWhole(port, { first: 1, last: 65535 });
  if (isName && isPort && rest.length === 0) {
    return { port: port === null ? null : Number(port), name: NAMES[written]! };
  }
  throw new Failure(
    `Cannot use --protocol "${text.trim()}": ${isPort ? "no such protocol" : `"${port}" is not a port from 1 to 65535`}`,
    'Give mysql, http or none, for one service as "3306=mysql".',
    2,
  );
}

function choiceFor(choices: readonly ProtocolChoice[], port: number): ProtocolChoice | undefined {
  return choices.find((choice) => choice.port === port) ?? choices.find((choice) => choice.port === null);
}

/** The module that reads the sessions of a service, or null. */
export function protocolFor(
  choices: readonly ProtocolChoice[],
  { port }: { port: number },
): ProtocolName | null {
  return choiceFor(choices, port)?.name ?? null;
}

/** What decides how the protocol of a service is found. */
export interface ProtocolOptions {
  protocols: readonly ProtocolChoice[];
  /** An option about MySQL is given. */
  speaksMysql: boolean;
  /** --compat and -W: no module can be used, as an intercept 1.x sends no payload, or no answer is waited for. */
  compat: boolean;
  noWait: boolean;
}

/**
 * Whether a TCP service is read as MySQL only if its target greets so: no option names its protocol, and its port or an
 * option about MySQL suggests it. `targetPorts`: the ports of its targets.
 */
export function isByGreeting(
  { protocols, speaksMysql, compat, noWait }: ProtocolOptions,
  port: number,
  targetPorts: readonly number[],
): boolean {
  if (compat || noWait || choiceFor(protocols, port)) return false;
  return speaksMysql || isMysqlPort(port, targetPorts);
}

/** Whether a service, or one of its targets, has the usual port of MySQL. */
export function isMysqlPort(port: number, targetPorts: readonly number[]): boolean {
  return port === MYSQL_PORT || targetPorts.includes(MYSQL_PORT);
}
