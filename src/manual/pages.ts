/** The manual pages, made from the same definitions as the help: xcopy(1), and xcopy-COMMAND(1) of each command. */
import { version } from "../../package.json";
import {
  type CommandSpec,
  groupsOf,
  HELP,
  type Option,
  VERSION,
  writtenOperand,
} from "../command-line/command.ts";
import { COMMANDS } from "../command-line/commands.ts";
import { writtenOption } from "../command-line/reading/help.ts";
import { EXIT_CODES, type ExitCode } from "../native/failure.ts";
import { bold, flow, italic, paragraphs, sentence, tagged, text } from "./roff.ts";

const SUMMARY = "copies the live requests of a production service to a test service";
const SPECS: readonly CommandSpec[] = Object.values(COMMANDS);

function section(title: string, lines: readonly string[]): string[] {
  return lines.length > 0 ? [`.SH ${title}`, ...lines] : [];
}

function heading(name: string, summary: string): string[] {
  // The date would differ between two builds of one version.
  return [
    `.TH ${name.toUpperCase()} 1 "" "xcopy ${version}" "xcopy"`,
    ".SH NAME",
    `${text(name)} \\- ${text(summary)}`,
  ];
}

function optionTag(option: Option): string {
  const [long, ...value] = writtenOption(option).split(" ");
  const short = option.short ? `${bold(`-${option.short}`)}, ` : "";
  return `${short}${bold(long!)}${value.length > 0 ? ` ${italic(value.join(" "))}` : ""}`;
}

function optionLines(option: Option): string[] {
  const { help, details, default: otherwise } = option;
  const lines = tagged(optionTag(option), sentence(help));
  if (details) lines.push(...flow(sentence(details)));
  if (otherwise) lines.push(...flow(`(default: ${otherwise})`));
  return lines;
}

function examples(list: CommandSpec["examples"]): string[] {
  return list.flatMap(([line, effect]) => tagged(bold(line), sentence(effect)));
}

function exitStatus(codes: readonly ExitCode[]): string[] {
  return codes.flatMap((code) => tagged(bold(`${code}`), `${EXIT_CODES[code]}.`));
}

function pairs(list: readonly [string, string][] = []): string[] {
  return list.flatMap(([name, meaning]) => tagged(bold(name), sentence(meaning)));
}

/** References to pages: "xcopy-copy(1)". */
function references(names: readonly string[]): string[] {
  return names.map((name, index) => {
    const [, page, number] = /^(.*)\((\d)\)$/.exec(name)!;
    return `.BR ${text(page!)} (${number})${index < names.length - 1 ? "," : ""}`;
  });
}

function pageOf(spec: CommandSpec): string {
  const { operand, manual } = spec;
  const others = [
    "xcopy(1)",
    ...SPECS.filter((other) => other !== spec).map(({ name }) => `xcopy-${name}(1)`),
  ];
  return [
    ...heading(`xcopy-${spec.name}`, spec.summary),
    ...section("SYNOPSIS", [
      `${bold(`xcopy ${spec.name}`)} [${italic("OPTION")}]...${operand ? ` ${italic(writtenOperand(spec)!)}` : ""}`,
    ]),
    ...section("DESCRIPTION", paragraphs(manual.description)),
    ".SH OPTIONS",
    ...(operand ? tagged(italic(operand.value), sentence(operand.help)) : []),
    ...Object.entries(groupsOf(spec)).flatMap(([title, options]) => [
      `.SS ${text(title)}`,
      ...options.flatMap(optionLines),
    ]),
    ...section("EXAMPLES", examples(spec.examples)),
    ...section("EXIT STATUS", exitStatus(manual.exits)),
    ...section("ENVIRONMENT", pairs(manual.environment)),
    ...section("FILES", pairs(manual.files)),
    ...section("SIGNALS", pairs(manual.signals)),
    ...section("SEE ALSO", references([...others, ...(manual.seeAlso ?? [])])),
  ].join("\n");
}

function pageOfAll(): string {
  const files = SPECS.flatMap(({ manual }) => manual.files ?? []);
  const firstOf = (list: readonly [string, string][]) => [...new Map(list.toReversed())].toReversed();
  return [
    ...heading("xcopy", SUMMARY),
    ...section("SYNOPSIS", [`${bold("xcopy")} ${italic("COMMAND")} [${italic("OPTION")}]...`]),
    ...section(
      "DESCRIPTION",
      paragraphs([
        "xcopy copies the requests that clients send to a production service to a test service, in real time, as real TCP connections or UDP datagrams. It is not in the path of production: the clients, and the service that answers them, notice nothing.",
        "Called as tcpcopy or intercept it takes the command lines of tcpcopy and intercept 1.x, and is xcopy copy or xcopy intercept.",
      ]),
    ),
    ".SH COMMANDS",
    ...SPECS.flatMap(({ name, summary }) => tagged(`${bold(name)}`, sentence(summary))),
    ...section("OPTIONS", [HELP, VERSION].flatMap(optionLines)),
    ...section("EXAMPLES", examples(SPECS.map((spec) => spec.examples[0]!))),
    ...section("EXIT STATUS", exitStatus(Object.keys(EXIT_CODES).map((code) => Number(code) as ExitCode))),
    ...section("ENVIRONMENT", pairs(firstOf(SPECS.flatMap(({ manual }) => manual.environment ?? [])))),
    ...section("FILES", pairs(firstOf(files))),
    ...section("SEE ALSO", references(SPECS.map(({ name }) => `xcopy-${name}(1)`))),
  ].join("\n");
}

/** All pages by the names of their files: `xcopy.1`, `xcopy-copy.1`, ... */
export function manualPages(): Map<string, string> {
  return new Map([
    ["xcopy.1", pageOfAll()],
    ...SPECS.map((spec): [string, string] => [`xcopy-${spec.name}.1`, pageOf(spec)]),
  ]);
}
