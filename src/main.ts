#!/usr/bin/env bun
/** The executable's entry: the tree of commands, each loaded only when it is called. */
import { defineCommand } from "citty";
import type { CommandName } from "./command-line/commands.ts";
import { runTree } from "./commands/tree.ts";

const tree = defineCommand({
  meta: {
    name: "xcopy",
    description: "copies the live requests of a production service to a test service",
  },
  subCommands: {
    copy: () => import("./commands/copy.ts").then((module) => module.default),
    intercept: () => import("./commands/intercept.ts").then((module) => module.default),
    record: () => import("./commands/record.ts").then((module) => module.default),
    report: () => import("./commands/report.ts").then((module) => module.default),
    doctor: () => import("./commands/doctor.ts").then((module) => module.default),
    config: () => import("./commands/config.ts").then((module) => module.default),
    top: () => import("./commands/top.ts").then((module) => module.default),
    reload: () => import("./commands/reload.ts").then((module) => module.default),
    key: () => import("./commands/key.ts").then((module) => module.default),
    demo: () => import("./commands/demo.ts").then((module) => module.default),
    cleanup: () => import("./commands/cleanup.ts").then((module) => module.default),
    completion: () => import("./commands/completion.ts").then((module) => module.default),
    man: () => import("./commands/man.ts").then((module) => module.default),
  } satisfies Record<CommandName, unknown>,
});

await runTree(tree, process.argv0, process.argv.slice(2));
