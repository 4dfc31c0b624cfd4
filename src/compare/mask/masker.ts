/** Masks all texts of one request: a secret that stands in one of them under its name is masked in the others under any. */
import { maskError } from "./error.ts";
import { isSecretName } from "./names.ts";
import { applyMasks, type Mask } from "./pattern.ts";
import { MASKED, maskHead, maskText } from "./text.ts";

const LEAST_SECRET = 6;
const MOST_SECRETS = 200;

function decodedUri(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What a secret looks like where it is sent in another way. */
function variantsOf(secret: string): string[] {
  const plain = decodedUri(secret);
  const basic = /^(?:basic\s+)?([A-Za-z0-9+/]{8,}={0,2})$/i.exec(secret)?.[1];
  const inside = basic === undefined ? "" : Buffer.from(basic, "base64").toString("utf8");
  const isText = inside !== "" && /^[\x20-\x7e]*$/.test(inside);
  return [
    secret,
    plain,
    encodeURIComponent(plain.toWellFormed()),
    JSON.stringify(plain).slice(1, -1),
    Buffer.from(plain).toString("base64").replace(/=+$/, ""),
    ...(isText ? [inside, ...inside.split(":")] : []),
  ];
}

export class Masker {
  private readonly secrets = new Set<string>();

  constructor(private readonly masks: readonly Mask[]) {}

  private readonly found = (secret: string): void => {
    const bare = secret.trim();
    if (bare.length < LEAST_SECRET || this.secrets.size >= MOST_SECRETS || this.secrets.has(bare)) return;
    // Words that stand in heads beside secrets.
    if (/^(basic|bearer|digest|httponly|secure|samesite|expires|max-age|domain|path=?\/?|\*+)$/i.test(bare))
      return;
    for (const variant of variantsOf(bare)) if (variant.length >= LEAST_SECRET) this.secrets.add(variant);
  };

  /** Masks a text by what is in it. Call it for all texts first, then `everywhere` for each result. */
  text(text: string): string {
    return maskText(applyMasks(text, this.masks, this.found), this.found);
  }

  /** The same for a head of HTTP, with lines that end in LF. */
  head(text: string): string {
    return maskHead(applyMasks(text, this.masks, this.found), this.found);
  }

  /** The same for the message of an error of MySQL. */
  error(message: string): string {
    return this.text(maskError(applyMasks(message, this.masks, this.found), this.found));
  }

  /** A value that stands at a path of JSON (`$.user.token`) or in a field of this name, masked whole if that is of a secret. */
  value(where: string, text: string): string {
    const names = where.replace(/^\$\.?| \(\w+\)$|\[\*\]/g, "").split(/[.[\]"]+/);
    if (text === "" || !names.some(isSecretName)) return this.text(text);
    this.found(text);
    return MASKED;
  }

  /** Masks what was found in any text up to now. */
  everywhere(text: string): string {
    let result = text;
    for (const secret of this.secrets)
      if (result.includes(secret)) result = result.replaceAll(secret, MASKED);
    return result;
  }
}
