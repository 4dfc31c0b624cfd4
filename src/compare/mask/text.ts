/**
 * Takes secrets out of any text: what is behind a name of a secret (in URLs, forms, JSON, XML, multipart content, `name: value`), user
 * information in URLs, credentials of HTTP, JSON Web Tokens. All expressions here are linear, or bounded in what they look at.
 */
import { isSecretName } from "./names.ts";

/** What stands in place of a secret. */
export const MASKED = "***";

/** Takes what was masked, so that it can be masked elsewhere too. */
export type Found = (secret: string) => void;

/** What a value is behind `=`: quoted, or up to where the next parameter begins. */
const VALUE = /\s?("[^"]*"?|'[^']*'?|[^\s&;"'<>]*)/y;
// A URL in a parameter of a URL, encoded once or more.
const ENCODED = /(%(?:25)*(?:3f|26|23)|^)([\w.-]+)(%(?:25)*3d)((?:(?!%(?:25)*(?:26|23))[^&\s"'<>;])*)/gi;
const LINE = /^([ \t>*-]*)([\w.-]{1,100})([ \t]*:[ \t]*)(\S[^\r\n]*(?:\r?\n[ \t]+\S[^\r\n]*)*)/gm;
const KEY = /((?:\\)*["'])((?:[^"'\\\r\n]|\\u[0-9a-f]{4}){1,100})\1\s{0,20}:\s{0,20}/gi;
const BARE_VALUE = /\s?["'\w]/y;
const USER = /(\b[a-z][a-z0-9+.-]{0,20}:\/\/)([^\s/@"'<>?#]{1,2000})@/gi;
const ENCODED_USER =
  /(%(?:25)*3a(?:%(?:25)*2f){2})((?:(?!%(?:25)*(?:40|2f))[^\s&"'<>]){1,2000})(%(?:25)*40)/gi;
const CREDENTIALS = /\b(bearer|basic|apikey|ntlm|negotiate)(\s+)([A-Za-z0-9+/=._~-]{8,})/gi;
const JWT = /\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g;
const ELEMENT = /<((?:[\w-]{1,50}:)?[\w.-]{1,100})(\s[^<>]{0,1000})?>([^<]+)(?=<)/g;
const PART =
  /(name=")([^"\r\n]{1,100})("[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n)([^\r\n]+(?:\r?\n(?!--)[^\r\n]*)*)/g;

/** Where a value of JSON that begins at `from` ends: after its quote, its bracket, or before what separates it from the next. */
function endOfValue(text: string, from: number, quote: string): number {
  const first = text[from];
  if (quote !== "" && text.startsWith(quote, from)) {
    for (let at = from + quote.length; ; at++) {
      at = text.indexOf(quote, at);
      if (at < 0) return text.length;
      let slashes = 0;
      while (text[at - 1 - slashes] === "\\") slashes++;
      if (slashes % 2 === 0) return at + quote.length;
    }
  }
  if (first === '"' || first === "'") return endOfValue(text, from, first);
  if (first === "{" || first === "[") {
    let depth = 0;
    for (let at = from; at < text.length; at++) {
      const char = text[at]!;
      if (char === "{" || char === "[") depth++;
      else if ((char === "}" || char === "]") && --depth === 0) return at + 1;
    }
    return text.length;
  }
  const end = /[,}\]\s&<;]/g;
  end.lastIndex = from;
  return end.exec(text)?.index ?? text.length;
}

/** A name in front of `at`, with at most one space in between; "" if there is none. Of long ones the end. */
function nameBefore(text: string, at: number): string {
  const end = text[at - 1] === " " ? at - 1 : at;
  let from = end;
  while (from > 0 && end - from < 200 && /[\w.\-[\]%$]/.test(text[from - 1]!)) from--;
  return text.slice(from, end);
}

/** Masks values of JSON, also of JSON in a string of JSON. */
function maskKeys(text: string, found: Found): string {
  let masked = "";
  let done = 0;
  KEY.lastIndex = 0;
  for (let match = KEY.exec(text); match !== null; match = KEY.exec(text)) {
    if (!isSecretName(match[2]!)) continue;
    const from = KEY.lastIndex;
    const end = endOfValue(text, from, match[1]!);
    const value = text.slice(from, end);
    if (/^(null|true|false|""|''|)$/.test(value)) continue;
    const open = /^\\*["']/.exec(value)?.[0] ?? "";
    const close = open !== "" && value.length > open.length && value.endsWith(open) ? open : "";
    found(value.slice(open.length, value.length - close.length));
    masked += `${text.slice(done, from)}${open || '"'}${MASKED}${open || '"'}`;
    done = end;
    KEY.lastIndex = end;
  }
  return masked + text.slice(done);
}

/** Masks what is behind `name=`, and behind `name:` where no quotes are (`{password: 'x'}`). */
function maskAssigned(text: string, sign: "=" | ":", found: Found): string {
  let masked = "";
  let done = 0;
  for (let at = text.indexOf(sign); at >= 0; at = text.indexOf(sign, at + 1)) {
    if (at < done) continue;
    const name = nameBefore(text, at);
    // The code of OAuth 2.0 (RFC 6749 section 4.1.2), in URLs only.
    const isCode =
      sign === "=" && /^(code|state)$/i.test(name) && /[?&]/.test(text[at - name.length - 1] ?? "");
    if (name === "" || !(isCode || isSecretName(name))) continue;
    BARE_VALUE.lastIndex = at + 1;
    if (sign === ":" && !BARE_VALUE.test(text)) continue;
    VALUE.lastIndex = at + 1;
    const [whole = "", value = ""] = VALUE.exec(text) ?? [];
    const quote = /^["']/.exec(value)?.[0] ?? "";
    const bare = quote === "" ? value : value.replace(/^["']|["']$/g, "");
    if (bare === "" || bare === MASKED) continue;
    found(bare);
    const space = whole.slice(0, whole.length - value.length);
    masked += `${text.slice(done, at + 1)}${space}${quote}${MASKED}${quote}`;
    done = at + 1 + whole.length;
  }
  return masked + text.slice(done);
}

/** A text without its secrets, each replaced by MASKED; `found` is told of them. */
export function maskText(text: string, found: Found = () => {}): string {
  const named = (pattern: RegExp) => (in_: string) =>
    in_.replace(pattern, (whole: string, before: string, name: string, between: string, value: string) => {
      if (value.trim() === "" || value === MASKED || !isSecretName(name)) return whole;
      found(value);
      return `${before}${name}${between}${MASKED}`;
    });
  let result = text;
  const has = (char: string) => result.includes(char);
  if (has("://"))
    result = result.replace(USER, (_, scheme: string, user: string) => {
      found(user);
      for (const part of user.split(":")) found(part);
      return `${scheme}${MASKED}@`;
    });
  if (has("%")) {
    result = result.replace(ENCODED_USER, (_, before: string, user: string, at: string) => {
      found(user);
      return `${before}${MASKED}${at}`;
    });
    result = named(ENCODED)(result);
  }
  if (has('name="')) result = named(PART)(result);
  if (has(":")) {
    result = named(LINE)(result);
    result = maskKeys(result, found);
    result = maskAssigned(result, ":", found);
  }
  if (has("=")) result = maskAssigned(result, "=", found);
  if (has("<"))
    result = result.replace(ELEMENT, (whole, name: string, attributes: string | undefined, value: string) => {
      if (value.trim() === "" || !isSecretName(name)) return whole;
      found(value);
      return `<${name}${attributes ?? ""}>${MASKED}`;
    });
  result = result.replace(CREDENTIALS, (whole, scheme: string, between: string, value: string) => {
    if (!/[A-Z0-9=_]/.test(value)) return whole;
    found(value);
    return `${scheme}${between}${MASKED}`;
  });
  return result.replace(JWT, (value) => {
    found(value);
    return MASKED;
  });
}

/** What of a field's value is secret wherever else it stands: not the attributes of a cookie, nor one that is a word (`theme=darkmode`). */
function secretsOf(name: string, value: string): string[] {
  const isCookie = name === "cookie" || name === "set-cookie";
  if (!isCookie)
    return [value, ...value.split(/[;,\s]+/).flatMap((part) => [part, part.slice(part.indexOf("=") + 1)])];
  const cookies = name === "cookie" ? value.split(/;\s*/) : [value.split(";")[0]!];
  return cookies
    .map((cookie) => cookie.slice(cookie.indexOf("=") + 1))
    .filter((text) => !/^[a-z]{1,11}$/i.test(text));
}

/** A head of HTTP, of which the values of fields that carry secrets are masked whole, also where they are folded. */
export function maskHead(head: string, found: Found = () => {}): string {
  const [first = "", ...lines] = head.split("\n");
  const fields: string[] = [];
  for (const line of lines) {
    // RFC 9112 section 5.2: what begins with white space goes on with the field before.
    if (/^[ \t]/.test(line) && fields.length > 0) fields[fields.length - 1] += ` ${line.trim()}`;
    else fields.push(line);
  }
  const masked = fields.map((field) => {
    const colon = field.indexOf(":");
    const name = field.slice(0, Math.max(colon, 0)).trim();
    const value = field.slice(colon + 1).trim();
    if (colon < 0 || value === "" || !isSecretName(name)) return maskText(field, found);
    for (const secret of secretsOf(name.toLowerCase(), value)) found(secret);
    return `${field.slice(0, colon)}: ${MASKED}`;
  });
  return [maskText(first, found), ...masked].join("\n");
}
