/** The completions for fish. */
import { type CommandSpec, type Option, optionsOf, type Values } from "../command-line/command.ts";
import {
  HEADER,
  operandsOf,
  quoted,
  RUNNING,
  SECTIONS,
  separatorsOf,
  tableOf,
  valuedWords,
  valuesOf,
  wordsOf,
} from "./values.ts";

const HELPERS = `# Whether it is this command, and the word is not one with a dash where an option awaits its value.
function __xcopy_in
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = $argv[1]; or return 1
    set -l valued __xcopy_valued_$argv[1]
    not string match -q -- '-*' (commandline -ct); or not contains -- "$words[-1]" $$valued
end

# __xcopy_may COMMAND value|switch WORD...: whether the option of these words is not there yet; one that awaits its value now is none.
function __xcopy_may
    __xcopy_in $argv[1]; or return 1
    set -l words (commandline -opc)
    set -e words[1..2]
    test $argv[2] = value; and contains -- "$words[-1]" $argv[3..-1]; and set -e words[-1]
    set -q words[1]; or return 0
    for word in (string replace -r '=.*' '' -- $words)
        contains -- $word $argv[3..-1]; and return 1
    end
    return 0
end

# __xcopy_operand COMMAND NUMBER FIRST: whether so many words that belong to no option stand before this one, of which the first is not
# FIRST.
function __xcopy_operand
    __xcopy_in $argv[1]; or return 1
    set -l words (commandline -opc)
    set -e words[1..2]
    set -l valued __xcopy_valued_$argv[1]
    set -l operands
    set -l awaits no
    set -l ended no
    for word in $words
        if test $awaits = yes
            set awaits no
        else if test $ended = yes; or not string match -q -- '-?*' $word
            set -a operands $word
        else if string match -q -- -- $word
            set ended yes
        else if contains -- $word $$valued
            set awaits yes
        end
    end
    test $awaits = no; and test (count $operands) -eq $argv[2]; and test "$operands[1]" != $argv[3]
end

function __xcopy_after
    set -l words (commandline -opc)
    __xcopy_in $argv[1]; and test "$words[-1]" = $argv[2]
end

# __xcopy_list SEPARATORS WORD...: offers words for the part of the value behind its last separator, each once.
function __xcopy_list
    set -l value (string replace -r -- '^--[a-z-]+=' '' (commandline -ct))
    set -l before (string replace -r -- "[^$argv[1]]*\\$" '' "$value")
    for word in $argv[2..-1]
        contains -- $word (string split , -- "$before"); or printf '%s\\n' "$before$word"
    end
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

# The names of the tables [TABLE.NAME] in the file of --config, or in that which xcopy config reads.
function __xcopy_sections
    set -l words (commandline -opc)
    set -l file (string replace -r -- '^--config=(.*)' '--config\\n$1' $words | string split '\\n' | grep -A1 -x -e --config | tail -n 1)
    test "$words[2]" = config; and set -q words[4]; and set file $words[4]
    set -l program (string replace TABLE $argv[1] ${quoted(SECTIONS)})
    test -n "$file"; and sed -n $program (string replace -r '^~/' "$HOME/" -- $file) 2>/dev/null
end

complete -c xcopy -f`;

/** The arguments of `complete` for these values. */
function argument(values: Values, separators: string, table: string): string {
  const list = (words: string) =>
    fished(separators ? `(__xcopy_list ${quoted(separators)} ${words})` : words);
  if (typeof values !== "string") return `-x -a ${list(values.join(" "))}`;
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: "-x",
    file: "-r -F",
    directory: "-x -a '(__fish_complete_directories (commandline -ct))'",
    user: "-x -a '(__fish_complete_users)'",
    interface: `-x -a ${list("(__xcopy_interfaces)")}`,
    interfaces: `-x -a ${list("(__xcopy_interfaces)")}`,
    "interfaces or files": `-r -F -a ${list("any (__xcopy_interfaces)")}`,
    cpus: `-x -a ${list("(__xcopy_cpus)")}`,
    copy: "-x -a '(__xcopy_copies)'",
    section: `-x -a ${fished(`(__xcopy_sections ${quoted(table)})`)}`,
  };
  return actions[values];
}

/** In single quotes, as fish reads them. */
function fished(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function optionLines(spec: CommandSpec, option: Option): string[] {
  const { name } = spec;
  const given = valuesOf(option);
  const kind = given === null || option.choices ? "switch" : "value";
  const may = option.multiple
    ? `__xcopy_in ${name}`
    : `__xcopy_may ${name} ${kind} ${wordsOf(option).join(" ")}`;
  const begin = `complete -c xcopy -n '${may}'${option.short ? ` -s ${option.short}` : ""} -l ${option.name}`;
  const described = `-d ${fished(option.help)}`;
  if (!option.choices) {
    const values = given ? ` ${argument(given, separatorsOf(option), tableOf(spec))}` : "";
    return [`${begin}${values} ${described}`];
  }
  const after = `complete -c xcopy -n '__xcopy_after ${name} --${option.name}' -f -a ${fished(option.choices.join(" "))}`;
  return [`${begin} ${described}`, after];
}

/** What stands behind a command, without the -r of an option. */
function operandLines(spec: CommandSpec): string[] {
  return operandsOf(spec).map(({ values, not }, number) => {
    const test = ["__xcopy_operand", spec.name, number, not[0] ?? "-"].join(" ");
    const words = argument(values, "", tableOf(spec)).replace(/^-x/, "-f").replace(/^-r /, "");
    return `complete -c xcopy -n '${test}' ${words}`;
  });
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
    ...commands.map((spec) => `set -g __xcopy_valued_${spec.name} ${valuedWords(spec).join(" ")}`),
    ...commands.flatMap((spec) => [
      ...optionsOf(spec).flatMap((option) => optionLines(spec, option)),
      ...operandLines(spec),
    ]),
  ].join("\n");
}
