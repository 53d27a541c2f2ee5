/**
 * Strict schemas for configuration sections. A schema turns a YAML node (with positions) into a typed value with
 * defaults filled in, and reports every mistake with its path and position instead of stopping at the first.
 */
import type { Node } from 'yaml';

/** One mistake: `path` as `exporters.otlp_http/eu.timeout`, `node` for the line number. */
export type Report = (path: string, node: Node | undefined, message: string) => void;

export interface Schema<T> {
  /** What is allowed, in words for messages and documentation: "a duration such as 5s or 250ms". */
  readonly expects: string;
  /** `node` is undefined (or an empty node) when the key is absent: the default applies, or a mistake is reported. */
  parse(node: Node | undefined, path: string, report: Report): T;
}
