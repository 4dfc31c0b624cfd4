/** `--protocol`: which protocol module reads the sessions of a service. */
import { Failure } from "../native/failure.ts";
import type { ProtocolName } from "../worker/config.ts";
import { isWhole } from "./number.ts";

const NAMES: readonly ProtocolName[] = ["http", "mysql"];
const MYSQL_PORT = 3306;

/** A module, and the port of the services that it is for; null: all that no other choice names. */
export interface ProtocolChoice {
  port: number | null;
  name: ProtocolName;
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
  return [...choices, { port: MYSQL_PORT, name: "mysql" }];
}

function parseChoice(text: string): ProtocolChoice {
  const [first, second, ...rest] = text.trim().split("=");
  const [port, written] = second === undefined ? [null, first] : [first!, second];
  const name = NAMES.find((known) => known === written);
  const isPort = port === null || isWhole(port, { first: 1, last: 65535 });
  if (name && isPort && rest.length === 0) return { port: port === null ? null : Number(port), name };
  throw new Failure(
    `Cannot use --protocol "${text.trim()}": ${isPort ? "no such protocol" : `"${port}" is not a port from 1 to 65535`}`,
    `Give ${NAMES.join(" or ")}, for one service as "3306=mysql".`,
    2,
  );
}

/** The module that reads the sessions of a service, or null. */
export function protocolFor(
  choices: readonly ProtocolChoice[],
  { port }: { port: number },
): ProtocolName | null {
  const own = choices.find((choice) => choice.port === port);
  return (own ?? choices.find((choice) => choice.port === null))?.name ?? null;
}
