/** The page's start: reads the report that is in it, and draws it. */
import { html } from "htm/preact";
import { render } from "preact";
import type { Report } from "../../compare/report.ts";
import { App } from "./app.ts";

/** The report in the page: JSON, compressed by gzip, in base64. */
async function carriedReport(): Promise<Report> {
  const text = document.getElementById("report")!.textContent.trim();
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).json()) as Report;
}

const isLive = document.documentElement.dataset["live"] === "true";
// A token was for the first request only: what follows has the cookie.
if (isLive && location.search !== "") history.replaceState(null, "", location.pathname);
const first = await carriedReport();
const root = document.getElementById("page")!;
root.replaceChildren();
render(html`<${App} first=${first} isLive=${isLive} />`, root);
