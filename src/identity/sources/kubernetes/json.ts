/** Reads values of unknown shape: what the API server sends is checked where it is used, and what does not fit is absent. */
export type JsonRecord = Readonly<Record<string, unknown>>;

export const asRecord = (value: unknown): JsonRecord | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : undefined;

export const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const asText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

export const asPort = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_535 ? value : undefined;

/** The strings of a list. */
export const asTexts = (value: unknown): string[] =>
  asList(value).filter((item): item is string => typeof item === 'string');

/** Own entries only: a label called `__proto__` or `constructor` is one like any other. */
export function textAt(record: JsonRecord | undefined, key: string): string | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? asText(record[key]) : undefined;
}
