/** The completions for fish. */
import { type CommandSpec, type Option, optionsOf, type Values } from "../command-line/command.ts";
import { HEADER, quoted, RUNNING, SECTIONS, valuesOf } from "./values.ts";

const HELPERS = `function __xcopy_in
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = $argv[1]
end

function __xcopy_operand
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = $argv[1]; or return 1
    test (count $words) $argv[2] 2
end

function __xcopy_after
    set -l words (commandline -opc)
    __xcopy_in $argv[1]; and test "$words[-1]" = $argv[2]
end

function __xcopy_list
    set -l value (string replace -r -- '^--[a-z-]+=' '' (commandline -ct))
    set -l before (string replace -r -- '[^,=]*$' '' "$value")
    printf '%s\\n' "$before"$argv
end

function __xcopy_interfaces
    for path in /sys/class/net/*/ifindex
        string replace -r '.*/(.*)/ifindex' '$1' $path
    end
end

function __xcopy_copies
    set -l sockets ${RUNNING}
    string replace -rf '.*/top-([0-9]+)\\.sock$' '$1' $sockets
end

function __xcopy_cpus
    string replace -rf '.*/cpu([0-9]+)$' '$1' /sys/devices/system/cpu/cpu*
end

function __xcopy_sections
    set -l file (commandline -opc | string replace -r -- '^--config=(.*)' '--config\\n$1' | string split '\\n' | grep -A1 -x -e --config | tail -n 1)
    test -n "$file"; and sed -n ${quoted(SECTIONS)} $file 2>/dev/null
end

complete -c xcopy -f`;

/** The arguments of `complete` for these values. */
function argument(values: Values): string {
  if (typeof values !== "string") return `-x -a ${fished(`(__xcopy_list ${values.join(" ")})`)}`;
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: "-x",
    file: "-r -F",
    directory: "-x -a '(__fish_complete_directories (commandline -ct))'",
    user: "-x -a '(__fish_complete_users)'",
    interface: "-x -a '(__xcopy_interfaces)'",
    interfaces: "-x -a '(__xcopy_list (__xcopy_interfaces))'",
    "interfaces or files": "-r -F -a '(__xcopy_list any (__xcopy_interfaces))'",
    cpus: "-x -a '(__xcopy_list (__xcopy_cpus))'",
    copy: "-x -a '(__xcopy_copies)'",
    section: "-x -a '(__xcopy_sections)'",
  };
  return actions[values];
}

/** In single quotes, as fish reads them. */
function fished(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function optionLines({ name }: CommandSpec, option: Option): string[] {
  const begin = `complete -c xcopy -n '__xcopy_in ${name}'${option.short ? ` -s ${option.short}` : ""} -l ${option.name}`;
  const given = valuesOf(option);
  const described = `-d ${fished(option.help)}`;
  if (!option.choices) return [`${begin}${given ? ` ${argument(given)}` : ""} ${described}`];
  const after = `complete -c xcopy -n '__xcopy_after ${name} --${option.name}' -f -a ${fished(option.choices.join(" "))}`;
  return [`${begin} ${described}`, after];
}

/** What stands behind a command, without the -r of an option. */
function operandLines({ name, operand }: CommandSpec): string[] {
  if (!operand) return [];
  const line = (test: string, values: Values) =>
    `complete -c xcopy -n '__xcopy_operand ${name} ${test}' ${argument(values).replace(/^-x/, "-f").replace(/^-r /, "")}`;
  return [line("-eq", operand.values), ...(operand.further ? [line("-gt", operand.further)] : [])];
}

/** The script, for fish from 3.0 on. */
export function fishCompletion(commands: readonly CommandSpec[]): string {
  const first = "test (count (commandline -opc)) -eq 1";
  return [
    HEADER("fish"),
    HELPERS,
    `complete -c xcopy -n '${first}' -s h -l help -d 'print help'`,
    `complete -c xcopy -n '${first}' -s v -l version -d 'print the version'`,
    ...commands.map(
      ({ name, summary }) => `complete -c xcopy -n '${first}' -a ${name} -d ${fished(summary)}`,
    ),
    ...commands.flatMap((spec) => [
      ...optionsOf(spec).flatMap((option) => optionLines(spec, option)),
      ...operandLines(spec),
    ]),
  ].join("\n");
}
