/** The completions for zsh, by its _arguments. */
import { type CommandSpec, type Option, optionsOf, type Values } from "../command-line/command.ts";
import {
  HEADER,
  operandsOf,
  quoted,
  RUNNING,
  SECTIONS,
  separatorsOf,
  tableOf,
  valuesOf,
  wordsOf,
} from "./values.ts";

const HELPERS = `# _xcopy_list SEPARATORS WORD...: offers words for the part of the value behind its last separator, each once.
_xcopy_list() {
  compset -P "*[$1]"
  local -a given=(\${(s:,:)\${IPREFIX#--*=}})
  compadd -F given -- "\${@:2}"
}

_xcopy_interfaces() {
  local -a found=(/sys/class/net/*/ifindex(N:h:t))
  _xcopy_list , "$@" $found
}

_xcopy_interface() {
  compadd -- /sys/class/net/*/ifindex(N:h:t)
}

_xcopy_interfaces_or_files() {
  _xcopy_interfaces any
  _files
}

_xcopy_cpus() {
  local -a found=(/sys/devices/system/cpu/cpu<->(N:t))
  _xcopy_list , \${found#cpu}
}

_xcopy_copies() {
  local -a found=(${RUNNING.replaceAll(".sock", ".sock(N=)")})
  found=(\${\${found:t}#top-})
  compadd -- \${found%.sock}
}

# The names of the tables [TABLE.NAME] in the file of --config, or in that which xcopy config reads.
_xcopy_sections() {
  local file=\${\${(Q)opt_args[--config]}:-$line[2]} program=${quoted(SECTIONS)}
  [[ -n $file ]] && compadd -- \${(f)"$(sed -n "\${program/TABLE/$1}" \${~file} 2>/dev/null)"}
}
`;

/** What is done to complete a value. A space before it keeps \`_arguments\` from giving it options of \`compadd\`. */
function action(values: Values, separators: string, table: string): string {
  if (typeof values !== "string") {
    const words = values.map((word) => word.replace(":", "\\:")).join(" ");
    return separators === "" ? `(${words})` : ` _xcopy_list ${separators} ${words}`;
  }
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: " ",
    file: "_files",
    // Not _directories, which offers files where there is no directory.
    directory: "_path_files -/",
    user: "_users",
    interface: " _xcopy_interface",
    interfaces: " _xcopy_interfaces",
    "interfaces or files": " _xcopy_interfaces_or_files",
    cpus: " _xcopy_cpus",
    copy: " _xcopy_copies",
    section: ` _xcopy_sections ${quoted(table)}`,
  };
  return actions[values];
}

function argument(value: string, action: string): string {
  return `:${value.replaceAll(":", "\\:")}:${action}`;
}

function optionSpec(option: Option, table: string): string {
  const { help, value, multiple } = option;
  const text = `[${help.replace(/[[\]\\]/g, "\\$&")}]`;
  const given = valuesOf(option);
  const words = wordsOf(option);
  const excluded = multiple || words.length === 1 ? "" : `(${words.join(" ")})`;
  const taken = given ? argument(value!, action(given, separatorsOf(option), table)) : "";
  const suffix = (word: string) =>
    given === null || option.choices ? "" : word.startsWith("--") ? "=" : "+";
  return words
    .map((word) =>
      quoted(`${multiple ? "*" : excluded}${word}${suffix(word)}${text}${option.choices ? ":" : ""}${taken}`),
    )
    .join(" ");
}

function operandSpecs(spec: CommandSpec): string[] {
  return operandsOf(spec).map(({ values, not }, index) => {
    const done = action(values, "", tableOf(spec));
    const behind = not.map((first) => `[[ $line[1] == ${first} ]] || `).join("");
    return quoted(`${index + 1}${argument(spec.operand!.value, behind ? `{${behind}${done}}` : done)}`);
  });
}

function commandFunction(spec: CommandSpec): string {
  const lines = [
    ...optionsOf(spec).map((option) => optionSpec(option, tableOf(spec))),
    ...operandSpecs(spec),
  ];
  return `_xcopy_${spec.name}() {\n  _arguments -S \\\n    ${lines.join(" \\\n    ")}\n}\n`;
}

/** The script, for zsh from 5.0 on. */
export function zshCompletion(commands: readonly CommandSpec[]): string {
  const described = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`);
  return [
    "#compdef xcopy",
    HEADER("zsh"),
    "",
    HELPERS,
    ...commands.map(commandFunction),
    "_xcopy_commands() {\n  local -a commands=(",
    ...described,
    "  )\n  _describe -t commands command commands\n}\n",
    `_xcopy() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C '(- *)'{-h,--help}'[print help]' '(- *)'{-v,--version}'[print the version]' \\
    '1:command:_xcopy_commands' '*::argument:->argument' && return
  [[ $state == argument ]] && (( $+functions[_xcopy_$words[1]] )) && _xcopy_$words[1]
}

if [[ $funcstack[1] == _xcopy ]]; then _xcopy "$@"; else compdef _xcopy xcopy; fi`,
  ].join("\n");
}
