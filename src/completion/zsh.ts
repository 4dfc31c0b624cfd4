/** The completions for zsh, by its _arguments. */
import { type CommandSpec, type Option, optionsOf, type Values } from "../command-line/command.ts";
import { HEADER, quoted, RUNNING, SECTIONS, valuesOf, wordsOf } from "./values.ts";

const HELPERS = `# Offers words for the part of the value behind its last comma or =.
_xcopy_words() {
  compset -P '*[,=]'
  compadd "$@"
}

_xcopy_interfaces() {
  local -a found=(/sys/class/net/*/ifindex(N:h:t))
  _xcopy_words "$@" $found
}

_xcopy_interfaces_or_files() {
  _xcopy_interfaces any
  _files
}

_xcopy_cpus() {
  local -a found=(/sys/devices/system/cpu/cpu<->(N:t))
  _xcopy_words \${found#cpu}
}

_xcopy_copies() {
  local -a found=(${RUNNING.replaceAll(".sock", ".sock(N=)")})
  found=(\${\${found:t}#top-})
  compadd -- \${found%.sock}
}

_xcopy_sections() {
  local file=\${opt_args[--config]}
  [[ -n $file ]] && compadd -- \${(f)"$(sed -n ${quoted(SECTIONS)} \${(Q)file} 2>/dev/null)"}
}
`;

function action(values: Values): string {
  if (typeof values !== "string")
    return `_xcopy_words ${values.map((word) => word.replace(":", "\\:")).join(" ")}`;
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: " ",
    file: "_files",
    directory: "_directories",
    user: "_users",
    interface: "_xcopy_interfaces",
    interfaces: "_xcopy_interfaces",
    "interfaces or files": "_xcopy_interfaces_or_files",
    cpus: "_xcopy_cpus",
    copy: "_xcopy_copies",
    section: "_xcopy_sections",
  };
  return actions[values];
}

function argument(value: string, values: Values): string {
  return `:${value.replaceAll(":", "\\:")}:${action(values)}`;
}

function optionSpec(option: Option): string {
  const { help, value, multiple } = option;
  const text = `[${help.replace(/[[\]\\]/g, "\\$&")}]`;
  const given = valuesOf(option);
  const words = wordsOf(option);
  const several = multiple || !given;
  const excluded = several || words.length === 1 ? "" : `(${words.join(" ")})`;
  const taken = option.choices ? `:${argument(value!, given!)}` : given ? argument(value!, given) : "";
  const suffix = (word: string) =>
    given === null ? "" : option.choices ? "" : word.startsWith("--") ? "=" : "+";
  return words
    .map((word) => quoted(`${several ? "*" : excluded}${word}${suffix(word)}${text}${taken}`))
    .join(" ");
}

function commandFunction(spec: CommandSpec): string {
  const { operand } = spec;
  const lines = optionsOf(spec).map(optionSpec);
  if (operand) lines.push(quoted(`1${argument(operand.value, operand.values)}`));
  if (operand?.further) lines.push(quoted(`*${argument(operand.value, operand.further)}`));
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
