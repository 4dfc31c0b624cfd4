/** Creates the protocol modules for the sessions of this worker, and tells of protocols that need more than a copy. */

import { SECURED, type SecuredName } from "../../engine/sessions/secured.ts";
import type { PairSink } from "../../pairs/pair.ts";
import { createHttp } from "../../protocol/http/http.ts";
import { Requests } from "../../protocol/http/requests.ts";
import type { ProtocolModule } from "../../protocol/module.ts";
import { Account } from "../../protocol/mysql/account.ts";
import { createMysql } from "../../protocol/mysql/mysql.ts";
import { record } from "../../runtime/histogram.ts";
import type { DataPlaneConfig, ServiceConfig } from "./config.ts";
import { INDEX, type Shared } from "./shared.ts";

/** Gives services their modules, or null. `sink`: takes pairs, if any are made. `note`: takes lines for the log. */
export function moduleMaker(
  config: DataPlaneConfig,
  sink: PairSink | null,
  counters: Float64Array,
  { histograms }: Shared,
  note: (text: string) => void,
): (service: Pick<ServiceConfig, "protocol">) => ProtocolModule | null {
  const account = new Account(
    (counter) => {
      counters[INDEX[counter]]!++;
    },
    (side, us) => record(histograms[`${side}Latency`], us),
    note,
  );
  let mysql: ProtocolModule | null = null;
  const requests =
    sink && new Requests(config.pairs!.config, sink, () => void counters[INDEX.sessionsNotHttp]!++);
  const http = createHttp(requests);
  return ({ protocol }) => {
    if (protocol === null || protocol === "http") return protocol && http;
    mysql ??= createMysql(config.mysql, account, sink);
    return mysql;
  };
}

/** An error of a module in one line. */
export function describe(error: unknown): string {
  return error instanceof Error
    ? (error.stack ?? error.message).split("\n").slice(0, 3).join(" ")
    : String(error);
}

/** Tells once for each service what its clients use that no copy works of. */
export class SecuredNotes {
  private readonly told = new Set<string>();

  constructor(private readonly note: (text: string) => void) {}

  add({ label, protocol }: ServiceConfig, name: SecuredName): void {
    // The module tells it.
    if (protocol === "mysql") return;
    const key = `${name} ${label}`;
    if (this.told.has(key)) return;
    this.told.add(key);
    const { what, why, fix } = SECURED[name];
    this.note(`${label}: the clients use ${what}: ${why}\n${fix}`);
  }
}
