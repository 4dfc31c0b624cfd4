/** Connects to an intercept as a copy does, and asks it about its host. */
import { randomBytes } from "node:crypto";
import type { CloseCode } from "../../channel/close.ts";
import type { Facts, Welcome } from "../../channel/messages.ts";
import { InterceptLink } from "../../copy/data-plane/intercept-link.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import { WHOLE } from "../../wire/prefix.ts";

/** ms for the connection and for each answer, and between two looks. */
const SPAN = 2500;
const LOOK = 5;
/** ms that a round counts at most: in a longer one this host was busy, which says nothing about the other. */
const LONGEST_ROUND = 20;

export interface Asked {
  address: Uint8Array;
  port: number;
  label: string;
  /** Null: without a key. */
  key: Uint8Array | null;
  compat: boolean;
}

/** An intercept that took us. */
export interface Connected {
  welcome: Welcome;
  /** Null: it did not answer in time. */
  ask(what: string, details: object): Promise<{ facts: Facts; roundTrip: number } | null>;
  close(): void;
}

/** Why there is no connection: what the other side or the kernel said, "" for no answer. */
export interface Lost {
  text: string;
}

/** Connects; waits for the answer at most `span` ms, as the preflight of a copy does. */
export async function connectTo(asked: Asked, span = SPAN): Promise<Connected | Lost> {
  const { address, port, label, key, compat } = asked;
  let welcome: Welcome | null = null;
  let lost: { text: string; code: CloseCode | null } | null = null;
  let latest: Facts | null = null;
  let id = 0;
  const link = new InterceptLink(
    { label, address, port },
    {
      ...{ intercepts: [], connections: 1, key, compat, readsPayload: false, prefix: WHOLE, probeFrom: [] },
    },
    randomBytes(8),
    {
      onWelcome: (given) => {
        welcome = given;
      },
      onResponse() {},
      onFacts: (facts) => {
        latest = facts;
      },
      onLost: (text, code) => {
        lost = { text, code };
      },
    },
  );
  const until = async <T>(look: () => T | null): Promise<T | null> => {
    for (let left = span; left > 0; ) {
      const begun = performance.now();
      link.run(monotonicMicroseconds());
      const found = look();
      if (found !== null) return found;
      await Bun.sleep(LOOK);
      left -= Math.min(performance.now() - begun, LONGEST_ROUND);
    }
    return null;
  };
  // What refuses will refuse again; a connection that could not be made is not made by trying again at once.
  const outcome = await until(() => welcome ?? (lost as { code: CloseCode | null } | null));
  if (outcome === null || welcome === null) {
    link.close();
    const why = lost as { text: string; code: CloseCode | null } | null;
    return { text: why?.text ?? "" };
  }
  return {
    welcome,
    async ask(what, details) {
      const begun = performance.now();
      latest = null;
      const own = ++id;
      link.client.ask({ id: own, what, ...details });
      const facts = await until(() => (latest?.id === own ? latest : null));
      return facts && { facts, roundTrip: performance.now() - begun };
    },
    close() {
      link.client.bye("looked at by xcopy doctor");
      link.flush();
      link.close();
    },
  };
}
