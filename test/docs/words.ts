/** Command lines of xcopy in a text of shell, as the words that the shell would hand over. */

const TOKEN = /\\\n|\\(.)|'([^']*)'|"((?:[^"\\]|\\.)*)"|(\s+)|(#[^\n]*)|([|;&><\n])|([^\s\\'"|;&><]+)/gy;

/** The simple commands of a text: no expansion, redirections end a command. */
export function commandsOf(text: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | null = null;
  const endWord = () => {
    if (word !== null) words.push(word);
    word = null;
  };
  const endCommand = () => {
    endWord();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (const match of text.matchAll(TOKEN)) {
    const [whole, escaped, single, double, space, comment, operator, plain] = match;
    if (comment !== undefined && word !== null) word += whole;
    else if (comment !== undefined || whole === "\\\n") endWord();
    else if (space !== undefined) space.includes("\n") ? endCommand() : endWord();
    else if (operator !== undefined) endCommand();
    else word = (word ?? "") + (escaped ?? single ?? double?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "");
  }
  endCommand();
  return commands;
}

/** Words behind each "xcopy" of a text, also where another program runs it (`kubectl exec ... -- xcopy copy ...`). */
export function xcopyLines(text: string): string[][] {
  return commandsOf(text).flatMap((words) => {
    const at = words.findIndex((word) => /^(xcopy|.*(bin|REGISTRY)\/xcopy(:VERSION)?)$/.test(word));
    return /^[a-z-]/.test((at >= 0 && words[at + 1]) || "") ? [words.slice(at + 1)] : [];
  });
}
