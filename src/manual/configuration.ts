/** The manual page of the configuration file, xcopy.toml(5): the options of each of its tables. */
import { version } from "../../package.json";
import { type CommandSpec, type Option, settable } from "../command-line/command.ts";
import { CONFIGURATION } from "../command-line/common.ts";
import { bold, italic, paragraphs, sentence, tagged, text } from "./roff.ts";

const EXAMPLE = [
  "[copy]",
  'log = "/var/log/xcopy/shop.log"',
  "",
  "[copy.shop]",
  'transfer = ["80-10.0.0.2:8080"]',
  "sample = 10",
  "compare = true",
  "",
  "[copy.search]",
  'transfer = ["81-10.0.0.3:8080"]',
];

/** An option as a line of TOML: "transfer = [LIST, ...]". */
function lineOf({ name, value, multiple }: Option): string {
  const written = value === undefined ? "true" : multiple ? `[${value}, ...]` : value;
  return `${bold(name)} = ${italic(written)}`;
}

function tableLines(spec: CommandSpec): string[] {
  return [
    `.SS [${text(spec.table!)}]`,
    ...settable(spec)
      .filter((option) => !CONFIGURATION.includes(option) && option.name !== "dry-run")
      .flatMap((option) => tagged(lineOf(option), sentence(option.help))),
  ];
}

/** The page. `commands`: all; those with a table of their own are in it. */
export function configurationPage(commands: readonly CommandSpec[]): string {
  const configured = commands.filter(({ name, table }) => name === table);
  return [
    `.TH XCOPY.TOML 5 "" "xcopy ${version}" "xcopy"`,
    ".SH NAME",
    "xcopy.toml \\- configuration file of xcopy copy, intercept and record",
    ".SH DESCRIPTION",
    ...paragraphs([
      "A configuration file has the options of xcopy copy, intercept and record by their long names, in TOML: a table for each command, a list where an option may be given several times, true for an option without a value. The option --config names the file.",
      "Tables below one, such as [copy.shop], are several runs, each with the options of [copy] where it has no own. All of them are started, a process each; --only names one of them.",
      "The command line goes before the environment (XCOPY_MEMORY for --memory), and the environment before the file. xcopy config check says what is wrong in a file, with line and column.",
    ]),
    ".SH OPTIONS",
    ...paragraphs(["The manual page of each command says more of them."]),
    ...configured.flatMap(tableLines),
    ".SH EXAMPLES",
    ".EX",
    ...EXAMPLE.map(text),
    ".EE",
    ".SH FILES",
    ...tagged(bold("/etc/xcopy/NAME.toml"), "What the units xcopy-copy@NAME and xcopy-intercept@NAME run."),
    ".SH SEE ALSO",
    ...["copy", "intercept", "record", "config"].map(
      (name, index, all) => `.BR xcopy\\-${name} (1)${index < all.length - 1 ? "," : ""}`,
    ),
  ].join("\n");
}
