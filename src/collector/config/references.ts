/** Which extensions a component's section names, found by the shape of its schema. */
import { isMap, isSeq, type Node } from 'yaml';
import { child, joined } from '../schema/composites.ts';
import { isAbsent, textOf } from '../schema/nodes.ts';
import { COMPONENT_ID } from '../schema/scalars.ts';
import type { Schema } from '../schema/types.ts';

/** An id that stands somewhere in the file. */
export interface Reference {
  readonly id: string;
  readonly path: string;
  readonly node: Node;
}

export function findReferences(schema: Schema<unknown>, node: Node | undefined, path: string): Reference[] {
  const { shape } = schema;
  if (isAbsent(node) || shape === undefined) return [];
  switch (shape.kind) {
    case 'extensionId': {
      const id = textOf(node);
      return id !== undefined && COMPONENT_ID.test(id) ? [{ id, path, node }] : [];
    }
    case 'list':
      if (!isSeq(node)) return [];
      return node.items.flatMap((item, i) => findReferences(shape.item, item as Node, `${path}[${i}]`));
    case 'object':
      if (!isMap(node)) return [];
      return [...shape.fields].flatMap(([key, field]) => findReferences(field, child(node, key), joined(path, key)));
    case 'scalar':
      return [];
  }
}
