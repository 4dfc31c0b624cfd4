/**
 * The JSON Schema of configuration files, for editors (Taplo, Even Better TOML), made of the descriptions of the commands. Draft 7,
 * which all of them read.
 */
import { type CommandSpec, type Option, settable } from "../command-line/command.ts";
import { NAME, REFUSED, takesNumber } from "../command-line/reading/file.ts";
import { explanationOf } from "../command-line/reading/help.ts";
import { CONFIGURED } from "../command-line/reading/load.ts";

export type Schema = { [key: string]: unknown };

/** What stands for whole numbers in the help. */
const WHOLE = /\b(PORT|COUNT|MB|BYTES|NUMBER|PACKETS|K)\b/;
/** `1 to 65535` in the text of an option that takes a number. */
const RANGE = /(?<![\d.])(\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)(?![\d.]*\d)/;
/** `in|out`: all words that an option takes. */
const WORDS = /^[a-z0-9]+(\|[a-z0-9]+)+$/;
const TEXT: Schema = { type: "string", minLength: 1 };

/** The range of numbers that an option takes, as its help says; null: it says none. */
export function rangeOf(option: Option): [least: number, most: number] | null {
  const found = takesNumber(option) ? RANGE.exec(option.help) : null;
  return found && [Number(found[1]), Number(found[2])];
}

/** The words that an option takes, where it takes no others; null: it does. */
export function wordsOf({ value, choices }: Option): readonly string[] | null {
  if (choices) return choices;
  return value !== undefined && WORDS.test(value) ? value.split("|") : null;
}

/** A number in its range, or text. */
function numberSchema(option: Option): Schema {
  const range = rangeOf(option);
  const type = [WHOLE.test(option.value!) ? "integer" : "number", "string"];
  return { ...TEXT, type, ...(range && { minimum: range[0], maximum: range[1] }) };
}

function valueSchema(option: Option): Schema {
  const { value, choices, multiple } = option;
  if (value === undefined) return { type: "boolean" };
  const words = wordsOf(option);
  if (words) return choices ? { anyOf: [{ type: "boolean" }, { enum: [...words] }] } : { enum: [...words] };
  const one: Schema = takesNumber(option) ? numberSchema(option) : TEXT;
  return multiple ? { anyOf: [one, { type: "array", items: one }] } : one;
}

function optionSchemas(spec: CommandSpec): Record<string, Schema> {
  const options = settable(spec).filter(({ name }) => !Object.hasOwn(REFUSED, name));
  return Object.fromEntries(
    options.map((option) => [option.name, { description: explanationOf(option), ...valueSchema(option) }]),
  );
}

/** `[copy]`, with tables below it that have the same options. */
function tableSchema(spec: CommandSpec): Schema {
  const properties = optionSchemas(spec);
  return {
    description: `xcopy ${spec.name}: ${spec.summary}`,
    type: "object",
    properties,
    propertyNames: { pattern: NAME.source, not: { enum: Object.keys(REFUSED) } },
    additionalProperties: {
      description: `One of several: [${spec.table}] has the defaults of all.`,
      type: "object",
      properties,
      additionalProperties: false,
    },
  };
}

export function configurationSchema(): Schema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "xcopy",
    description: "Options of xcopy copy, intercept and record, by their long names (--config FILE)",
    type: "object",
    properties: Object.fromEntries(CONFIGURED.map((spec) => [spec.table, tableSchema(spec)])),
    additionalProperties: false,
  };
}
