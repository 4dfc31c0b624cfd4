/** The completions for bash. They need no package: the words are put together here, as bash breaks them at = and :. */
import { type CommandSpec, optionsOf, type Values } from "../command-line/command.ts";
import { allWords, HEADER, quoted, RUNNING, SECTIONS, valuesOf, wordsOf } from "./values.ts";

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

_xcopy_sections() {
  local index
  for ((index = 0; index < \${#words[@]} - 1; index++)); do
    case \${words[index]} in
      --config) sed -n ${quoted(SECTIONS)} "\${words[index + 1]}" 2>/dev/null ;;
      --config=*) sed -n ${quoted(SECTIONS)} "\${words[index]#*=}" 2>/dev/null ;;
    esac
  done
}

# Offers words for the part of the value behind its last comma or =.
_xcopy_words() {
  local before=\${value%"\${value##*[,=]}"} word
  for word in "$@"; do
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
    _xcopy_words COMMANDS
    return
  fi
  if [[ $current == --*=* ]]; then
    lead=\${current%%=*}=
    value=\${current#*=}
    _xcopy_value "$command \${current%%=*}"
  elif [[ $current == -* ]]; then
    _xcopy_options
  elif ! _xcopy_value "$command \${words[count - 2]}"; then
    ((count == 3)) && _xcopy_value "$command" || _xcopy_value "$command further"
  fi
}

complete -F _xcopy xcopy`;

function action(values: Values): string {
  if (typeof values !== "string") return `_xcopy_words ${values.map(quoted).join(" ")}`;
  const actions: Record<Exclude<Values, readonly string[]>, string> = {
    anything: ":",
    file: "_xcopy_paths -f",
    directory: "_xcopy_paths -d",
    user: "_xcopy_paths -u",
    interface: "_xcopy_words $(_xcopy_interfaces)",
    interfaces: "_xcopy_words $(_xcopy_interfaces)",
    "interfaces or files": "_xcopy_words any $(_xcopy_interfaces); _xcopy_paths -f",
    cpus: "_xcopy_words $(_xcopy_cpus)",
    copy: "_xcopy_words $(_xcopy_copies)",
    section: "_xcopy_words $(_xcopy_sections)",
  };
  return actions[values];
}

/** The script, for bash from 4.3 on. */
export function bashCompletion(commands: readonly CommandSpec[]): string {
  const values = commands.flatMap((spec) => [
    ...optionsOf(spec).flatMap((option) => {
      const given = valuesOf(option);
      const pattern = wordsOf(option).map((word) => quoted(`${spec.name} ${word}`));
      return given === null ? [] : [`    ${pattern.join(" | ")}) ${action(given)} ;;`];
    }),
    ...(spec.operand ? [`    ${quoted(spec.name)}) ${action(spec.operand.values)} ;;`] : []),
    ...(spec.operand?.further
      ? [`    ${quoted(`${spec.name} further`)}) ${action(spec.operand.further)} ;;`]
      : []),
  ]);
  const options = commands.map((spec) => `    ${spec.name}) _xcopy_words ${allWords(spec).join(" ")} ;;`);
  const first = [...commands.map(({ name }) => name), "-h", "--help", "-v", "--version"].join(" ");
  return [
    HEADER("bash"),
    "# shellcheck shell=bash disable=SC2046,SC2015",
    HELPERS,
    "_xcopy_options() {\n  case $command in",
    ...options,
    "  esac\n}\n",
    "_xcopy_value() {\n  case $1 in",
    ...values,
    "    *) return 1 ;;\n  esac\n  return 0\n}\n",
    MAIN.replace("COMMANDS", first),
  ].join("\n");
}
