/**
 * Run as a process of its own: writes `count` lines (id 0 …) to stdout through the exporter, in batches of 100. What was
 * dropped and logged comes on stderr as JSON, written without waiting for stdout.
 */
import { closes, createExporter, host } from './exporter-fixture.ts';

const count = Number(process.argv[2]);
const deadlineMs = Number(process.argv[3]);

async function main(): Promise<void> {
  const { exporter, consumer, dropped, logger } = createExporter({ format: 'json' });
  await exporter.start(host);
  for (let i = 0; i < count; i += 100) {
    consumer.consume(closes(100, i));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await exporter.shutdown(AbortSignal.timeout(deadlineMs));
  process.stderr.write(`${JSON.stringify({ dropped, log: logger.lines })}\n`);
  process.exit(0);
}

void main();
