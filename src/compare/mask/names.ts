/** Names under which secrets are sent: of header fields, parameters, keys of JSON, cookies. */

/** Whole words of a name: `api_key`, `userPassword`, `X-Auth-Token`. */
const WORDS = new Set(
  (
    "auth authentication authorization oauth bearer credential credentials token tokens jwt key keys apikey secret secrets password " +
    "passwords passwd passcode passphrase pass pwd pw pin otp totp cvv cvc ssn signature sig hmac session sessions sess sessid sid " +
    "cookie cookies csrf xsrf nonce login"
  ).split(" "),
);
/** Parts of names that are written as one word: `accesstoken`, `PHPSESSID`. */
const PARTS =
  /passw|passphrase|secret|token|apikey|accesskey|privatekey|secretkey|signature|sess(ion|id)|credential|oauth|authoriz|csrf|xsrf|cardn(umber|o)|cookie/;

/** Percent-encoding and escapes of JSON undone, where they are well-formed. */
function plain(name: string): string {
  const unescaped = name.replace(/\\u([0-9a-f]{4})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  if (!unescaped.includes("%")) return unescaped;
  return unescaped.replace(/%([0-7][0-9a-f])/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const MOST_KNOWN = 4096;
const known = new Map<string, boolean>();

function judge(name: string): boolean {
  const text = plain(name);
  const compact = text.toLowerCase().replace(/[^a-z0-9]/g, "");
  if (PARTS.test(compact) || WORDS.has(compact)) return true;
  const words = text
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z]+/);
  return words.some((word) => WORDS.has(word));
}

/** Whether what has this name is likely a secret. Takes any text; of long names the end counts. */
export function isSecretName(name: string): boolean {
  const end = name.slice(-200);
  const before = known.get(end);
  if (before !== undefined) return before;
  if (known.size >= MOST_KNOWN) known.clear();
  const isSecret = judge(end);
  known.set(end, isSecret);
  return isSecret;
}
