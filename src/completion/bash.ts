/** The completions for bash. They need no package: the words are put together here, as bash breaks them at = and :. */
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

const HELPERS = `_xcopy_interfaces() {
  local path
  for path in /sys/class/net/*; do [[ -e $path/ifindex ]] && printf '%s\\n' "\${path##*/}"; done
}

_xcopy_cpus() {
  local path
  for path in /sys/devices/system/cpu/cpu[0-9]*; do printf '%s\\n' "\${path##*/cpu}"; done
}

_xcopy_copies() {
  local path
  for path in ${RUNNING}; do
    [[ -S $path ]] && path=\${path##*/top-} && printf '%s\\n' "\${path%.sock}"
  done
}

# The names of the tables [TABLE.NAME] in the file of --config, or in that which xcopy config reads.
_xcopy_sections() {
  local index file=\${operands[1]} program=${quoted(SECTIONS)}
  for ((index = 2; index < \${#words[@]} - 1; index++)); do
    case \${words[index]} in
      --config) file=\${words[index + 1]} ;;
      --config=*) file=\${words[index]#*=} ;;
    esac
  done
  [[ $file == \\~/* ]] && file=$HOME/\${file#*/}
  sed -n "\${program/TABLE/$1}" "$file" 2>/dev/null
}

# _xcopy_words SEPARATORS WORD...: offers words for the part of the value behind its last separator, each once in a list.
_xcopy_words() {
  local before='' word
  [[ $1 ]] && before=\${value%"\${value##*["$1"]}"}
  for word in "\${@:2}"; do
    [[ ,$before == *",$word,"* ]] && continue
    [[ $before$word == "$value"* ]] && COMPREPLY+=("$lead$before$word")
  done
  local kept=\${current%"\${current##*[=:]}"}
  [[ $COMP_WORDBREAKS == *[=:]* ]] && COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
  [[ \${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
  return 0
}

_xcopy_paths() {
  compopt -o filenames
  local path
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$value")
}

# _xcopy_unless_given -s/--long...: offers the words of options of which none is there yet.
_xcopy_unless_given() {
  local option word offered=()
  for option in "$@"; do
    for word in \${option//\\// }; do
      [[ " \${given[*]} " == *" $word "* ]] && continue 2
    done
    offered+=(\${option//\\// })
  done
  _xcopy_words '' "\${offered[@]}"
}
`;

const MAIN = `_xcopy() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() index word
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if ((index == 0)) || [[ $line == [[:space:]]* ]]; then
      line=\${line#"\${line%%[![:space:]]*}"}
      words+=("")
    fi
    ((index < COMP_CWORD)) || word=$line
    words[\${#words[@]} - 1]+=$word
    line=\${line#"$word"}
  done
  COMPREPLY=()
  local count=\${#words[@]}
  local current=\${words[count - 1]} value=\${words[count - 1]} lead='' command=\${words[1]}
  if ((count <= 2)); then
    _xcopy_words '' COMMANDS
    return
  fi
  # What stands before the current word: options, words that belong to none, and whether "--" ends the options.
  local given=() operands=() ended='' awaited='' action alone
  for ((index = 2; index < count - 1; index++)); do
    word=\${words[index]}
    if [[ $ended || $word != -?* ]]; then
      operands+=("$word")
    elif [[ $word == -- ]]; then
      ended=1
    else
      given+=("\${word%%=*}")
      [[ $word != *=* ]] && _xcopy_action "$command $word" || continue
      [[ $alone && \${words[index + 1]} == -* ]] && continue
      ((++index == count - 1)) && awaited="$command $word"
    fi
  done
  if [[ $awaited ]]; then
    _xcopy_action "$awaited" && eval "$action"
  elif [[ ! $ended && $current == --*=* ]]; then
    lead=\${current%%=*}=
    value=\${current#*=}
    _xcopy_action "$command \${current%%=*}" && eval "$action"
  elif [[ ! $ended && $current == -* ]]; then
    _xcopy_options
  elif _xcopy_action "$command \${#operands[@]} \${operands[0]}"; then
    eval "$action"
  fi
}

complete -F _xcopy xcopy`;

function action(values: Values, separators: string, table: string): string {
  const words = (list: string) => `_xcopy_words ${quoted(separators)} ${list}`;
  if (typeof values !== "string") return words(values.map(quoted).join(" "));
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: ":",
    file: "_xcopy_paths -f",
    directory: "_xcopy_paths -d",
    user: "_xcopy_paths -u",
    interface: words("$(_xcopy_interfaces)"),
    interfaces: words("$(_xcopy_interfaces)"),
    "interfaces or files": `${words("any $(_xcopy_interfaces)")}; _xcopy_paths -f`,
    cpus: words("$(_xcopy_cpus)"),
    copy: words("$(_xcopy_copies)"),
    section: words(`$(_xcopy_sections ${quoted(table)})`),
  };
  return actions[values];
}

/** The cases of what may stand behind an option, or where a word belongs to none, of one command. */
function casesOf(spec: CommandSpec): string[] {
  const table = tableOf(spec);
  const line = (pattern: string, values: Values, separators = "", more = "") =>
    `    ${pattern}) action=${quoted(action(values, separators, table))}${more} ;;`;
  const options = optionsOf(spec).flatMap((option) => {
    const values = valuesOf(option);
    const pattern = wordsOf(option).map((word) => quoted(`${spec.name} ${word}`));
    if (values === null) return [];
    return [line(pattern.join(" | "), values, separatorsOf(option), option.choices ? " alone=1" : "")];
  });
  const operands = operandsOf(spec).flatMap(({ values, not }, number) => [
    ...not.map((first) => `    ${quoted(`${spec.name} ${number} ${first}`)}) return 1 ;;`),
    line(`${quoted(`${spec.name} ${number} `)}*`, values),
  ]);
  return [...options, ...operands];
}

/** The options of a command: those that may be repeated, and of the others each as "-s/--long". */
function optionsLine(spec: CommandSpec): string {
  const repeated = (option: Option) => option.multiple === true;
  const [several, once] = [
    optionsOf(spec).filter(repeated).flatMap(wordsOf),
    optionsOf(spec)
      .filter((option) => !repeated(option))
      .map((option) => wordsOf(option).join("/")),
  ];
  const first = several.length > 0 ? `_xcopy_words '' ${several.join(" ")}; ` : "";
  return `    ${spec.name}) ${first}_xcopy_unless_given ${once.join(" ")} ;;`;
}

/** The script, for bash from 4.3 on. */
export function bashCompletion(commands: readonly CommandSpec[]): string {
  const first = [...commands.map(({ name }) => name), "-h", "--help", "-v", "--version"].join(" ");
  return [
    HEADER("bash"),
    "# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2206",
    HELPERS,
    "_xcopy_options() {\n  case $command in",
    ...commands.map(optionsLine),
    "  esac\n}\n",
    "# What offers the values of an option, or the words of this number that belong to none; alone: the option may stand without a value.",
    "_xcopy_action() {\n  alone=''\n  case $1 in",
    ...commands.flatMap(casesOf),
    "    *) return 1 ;;\n  esac\n  return 0\n}\n",
    MAIN.replace("COMMANDS", first),
  ].join("\n");
}
