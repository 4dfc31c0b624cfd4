/** Starts an agent in a namespace and calls it. */
import { join } from "node:path";
import { inNamespace } from "../../src/demo/network.ts";
import type { Answer, Calls, Question } from "./agent.ts";

type Result<K extends keyof Calls> = Awaited<ReturnType<Calls[K]>>;

/** An error that the agent's side threw: a NetlinkError has `code`, a Failure `fix` and `exitCode`. */
export class AgentError extends Error {
  code?: number;
  fix?: string;
  exitCode?: number;
}

export interface Agent {
  call<K extends keyof Calls>(call: K, ...args: Parameters<Calls[K]>): Promise<Result<K>>;
  /** The error that the call throws; throws if it does not. */
  error<K extends keyof Calls>(call: K, ...args: Parameters<Calls[K]>): Promise<AgentError>;
  stop(): Promise<void>;
}

/** Starts an agent in a namespace. */
export function startAgent(namespace: string): Agent {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let asked = 0;
  const child = Bun.spawn(inNamespace(namespace, [process.execPath, join(import.meta.dir, "agent.ts")]), {
    stdio: ["ignore", "inherit", "inherit"],
    serialization: "advanced",
    ipc(answer: Answer) {
      const one = waiting.get(answer.id)!;
      waiting.delete(answer.id);
      if ("value" in answer) one.resolve(answer.value);
      else one.reject(Object.assign(new AgentError(answer.error.message), answer.error));
    },
    onExit() {
      for (const one of waiting.values()) one.reject(new Error("The agent ended"));
    },
  });
  const agent: Agent = {
    call<K extends keyof Calls>(call: K, ...args: Parameters<Calls[K]>) {
      const one = Promise.withResolvers<unknown>();
      const id = asked++;
      waiting.set(id, one);
      child.send({ id, call, args } satisfies Question);
      return one.promise as Promise<Result<K>>;
    },
    async error(call, ...args) {
      const outcome = await agent.call(call, ...args).catch((error: unknown) => error);
      if (outcome instanceof AgentError) return outcome;
      throw new Error(`"${call}" threw no error`);
    },
    async stop() {
      child.kill();
      await child.exited;
    },
  };
  return agent;
}
