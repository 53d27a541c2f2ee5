/** docs/configuration.md: the grammar in a few words, then the reference made from the schemas of the components. */
import { FACTORIES } from '../../src/cli/components.ts';
import { renderReference } from '../../src/collector/config/reference.ts';

const GRAMMAR = `# Configuration

Made from the schemas of the components by \`npm run docs\`.

The grammar is the OpenTelemetry Collector's: sections of components with ids \`type\` or \`type/name\`, and
\`service.pipelines\` that connect them; \`\${env:NAME:-default}\` in any value; durations as \`5s\`, \`250ms\`, \`1h30m\`; sizes as
\`16MiB\`. Unknown keys, unused components and wrong types are errors with their line. SIGHUP or a changed file reloads; a
configuration with mistakes is reported, and the old one stays.

## service

| key | value | default | |
|---|---|---|---|
| \`telemetry.logs.level\` | one of debug, info, warn, error | \`info\` | The agent's own log on stderr |
| \`extensions\` | a list of ids | \`[]\` | Started first; one that a component names is started, too |
| \`pipelines.metrics\`, \`pipelines.logs\`, \`pipelines.logs/NAME\`, … | a map with the keys receivers, processors, exporters | required | Each a list of ids; processors in order |

`;

export const configurationPage = (): string => GRAMMAR + renderReference(FACTORIES);
