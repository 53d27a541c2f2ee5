/** What a schema is: a strict parser of one YAML node that can also describe itself. */
import type { Node } from 'yaml';

/**
 * One mistake: `path` as `exporters.otlp_http/eu.timeout`, `node` for the line number (undefined: the place of the
 * enclosing section), `message` what was found and what is allowed.
 */
export type Report = (path: string, node: Node | undefined, message: string) => void;

export interface Schema<T> {
  /** What is allowed, in words for messages and documentation: "a duration such as 5s or 250ms". */
  readonly expects: string;
  /**
   * `node` is undefined (or an empty node) when the key is absent: the default applies, or a mistake is reported.
   * After a mistake the returned value is a placeholder of the right type, not to be used.
   */
  parse(node: Node | undefined, path: string, report: Report): T;
  /** What it is made of, for the reference and for finding references to extensions. Without it: a scalar. */
  readonly shape?: Shape;
  /** What holds when the key is absent, as YAML text or '' for nothing. Without it the key is required. */
  readonly absent?: string;
  /** One sentence on what the key is for. */
  readonly description?: string;
}

export type Shape =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'extensionId' }
  | { readonly kind: 'list'; readonly item: Schema<unknown> }
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, Schema<unknown>> };

/** The value a schema gives: `type Config = Infer<typeof schema>`. */
export type Infer<S> = S extends Schema<infer T> ? T : never;
