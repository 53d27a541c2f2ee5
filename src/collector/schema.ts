/**
 * Strict schemas for configuration sections. A schema turns a YAML node (with positions) into a typed value with
 * defaults filled in, and reports every mistake with its path and position instead of stopping at the first. It also
 * knows its own keys, defaults and descriptions, so the reference in the documentation is made from it.
 *
 *     const schema = object({
 *       endpoint: described('Where the page is served', withDefault(endpoint(), 'localhost:15020')),
 *       timeout: described('Of one attempt', withDefault(duration({ min: '1ms' }), '10s')),
 *     });
 *     type Config = Infer<typeof schema>;
 */
export { endpoint, url } from './schema/addresses.ts';
export { listOf, mapOfStrings, object, refine } from './schema/composites.ts';
export { described, optional, withDefault } from './schema/presence.ts';
export { duration, size } from './schema/quantities.ts';
export { boolean, extensionId, integer, number, oneOf, string } from './schema/scalars.ts';
export type { Infer, Report, Schema } from './schema/types.ts';
