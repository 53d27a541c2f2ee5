/** `tcpledger components`: what a configuration may name, as YAML, as the Collector's command of that name. */
import { stringify } from 'yaml';
import { VERSION } from '../../build-info.ts';
import type { AnyFactory } from '../../collector/config/resolved.ts';
import { FACTORIES } from '../components.ts';

export async function components(): Promise<number> {
  process.stdout.write(
    stringify(
      {
        buildinfo: { command: 'tcpledger', version: VERSION },
        receivers: FACTORIES.receivers.map(row),
        processors: FACTORIES.processors.map(row),
        exporters: FACTORIES.exporters.map(row),
        extensions: FACTORIES.extensions.map(row),
      },
      { lineWidth: 0 },
    ),
  );
  return 0;
}

function row(factory: AnyFactory) {
  const signals = factory.kind === 'extension' ? {} : { signals: [...factory.signals] };
  return { name: factory.type, description: factory.description, ...signals };
}
