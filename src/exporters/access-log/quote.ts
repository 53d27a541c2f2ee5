/**
 * Quoting for both formats: a JSON string, which readers of ztunnel's quoting take as well. Beyond what JSON asks for,
 * nothing that a line reader takes for a line end (NEL, U+2028, U+2029) and nothing that steers a terminal (C1 controls,
 * DEL) stays as it is: a pod's label is text from strangers.
 */

const PLAIN = /^[ !#-[\]-~]*$/;

const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;

export function quote(value: string): string {
  if (PLAIN.test(value)) return `"${value}"`;
  return JSON.stringify(value).replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
