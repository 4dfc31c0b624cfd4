/** What a page of a report carries: compressed, and in base64. */
import { gunzipSync } from "node:zlib";

/** The JSON in a page. */
export function carriedIn(page: string): string {
  const data = /id="data">([^<]*)</.exec(page)![1]!;
  return gunzipSync(Buffer.from(data, "base64")).toString();
}
