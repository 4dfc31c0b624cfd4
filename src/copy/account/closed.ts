/** Connections that the target closes and production does not, and protocols that no copy works of: what is said of them. */
import { SECURED, type SecuredName } from "../../engine/sessions/secured.ts";
import { number } from "../../runtime/figures.ts";

/** The counts that this is about, of an account. */
export interface Closed {
  sessions: { closed_by_target: number };
  out_of_context: number;
  secured?: Partial<Record<SecuredName, number>>;
}

/** Where its causes are found. */
export const CLOSED_ADVICE =
  "see its log: a login that it does not accept, another protocol, a limit, or a shorter time-out of idle connections";

/** `the target closed 10 connections that the service here kept open`; null if it closed none. */
export function renderClosed({ sessions }: Closed): string | null {
  const count = sessions.closed_by_target;
  if (count === 0) return null;
  return `the target closed ${number(count)} connection${count === 1 ? "" : "s"} that the service here kept open`;
}

/** Lines of the summary: names and texts. */
export function closedRows(account: Closed): [name: string, text: string | false][] {
  const closed = renderClosed(account);
  const secured = Object.entries(account.secured ?? {}).map(
    ([name, count]) => `${SECURED[name as SecuredName].what} ${number(count)} times`,
  );
  return [
    ["closed", closed !== null && `${closed}: ${CLOSED_ADVICE}`],
    [
      "renewed",
      account.out_of_context > 0 &&
        `${number(account.out_of_context)} of the requests sent went over a new connection, without what came before them on the old`,
    ],
    ["useless", secured.length > 0 && `copies of ${secured.join(", ")}: see above`],
  ];
}
