/** `tcpledger run`: the agent, from its start to its last word. */
import { VERSION } from '../../build-info.ts';
import { loadConfigFile } from '../../collector/config/load.ts';
import { createLogger, type Logger } from '../../collector/logger.ts';
import { observeProcess } from '../../collector/process-metrics.ts';
import { createService, type Service } from '../../collector/service/service.ts';
import { createTelemetry } from '../../collector/telemetry-store.ts';
import { watchFile } from '../../collector/watch-file.ts';
import { AGENT_METRICS } from '../../semconv/registry.ts';
import type { OptionValues } from '../arguments.ts';
import { FACTORIES } from '../components.ts';
import { configFile } from '../config-file.ts';
import { giveBack } from '../give-back.ts';
import { listenForStop } from '../stop-request.ts';

/** From the request to the end: what components get, and when the process ends whatever they do. */
const SHUTDOWN_MS = 9_000;
const LAST_MOMENT_MS = 9_800;

/** By then V8 has collected what the start left, and the code that stays in use has run. */
const STARTED_MS = 10_000;

/** Why the agent ends: somebody asked for it, or it cannot go on. */
type Ending = { readonly request: string } | { readonly error: Error };

/** Resolves to 0 after a stop that was asked for; rejects with why it could not start or go on, everything stopped by then. */
export async function run(options: OptionValues): Promise<number> {
  const file = configFile(options);
  const write = (line: string) => void process.stderr.write(line);
  const logger: Logger = createLogger('agent', () => service.config?.logLevel ?? 'info', write);
  const telemetry = createTelemetry(onceByName((name, error) => logger.error(`Collecting ${name} failed: ${error}`)));
  const load = () => loadConfigFile(file, FACTORIES, process.env);
  const service = createService({ configFile: file, load, write, telemetry, version: VERSION });
  observeProcess(telemetry, AGENT_METRICS, VERSION);

  const ending = firstReasonToEnd(service, logger);
  // The first look comes before the loading: a change in between is told, not missed.
  const watch = watchFile(file, () => void service.reload());
  process.on('SIGHUP', () => void reopenAndReload(service));
  await watch.ready;

  const failedStart = service.start().then(
    () => {
      giveBackLater(logger);
      return new Promise<never>(() => {});
    },
    (error: Error) => ({ error }),
  );
  const end = await Promise.race([ending, failedStart]);
  watch.close();
  // An error is told at the very end, where it is looked for, and once.
  if ('request' in end) logger.info(`Stopping: ${end.request}`);
  await stop(service, logger);
  if ('error' in end) {
    logger.debug(end.error.stack ?? String(end.error));
    throw end.error;
  }
  logger.info('Stopped');
  return 0;
}

function firstReasonToEnd(service: Service, logger: Logger): Promise<Ending> {
  const stopRequest = listenForStop(process, (reason) => {
    logger.warn(`${reason} again: ending at once, what is in flight is lost`);
    process.exit(1);
  });
  const crash = new Promise<Error>((resolve) => {
    // Unhandled rejections arrive here, too. Those after the first are told; the agent is stopping by then.
    process.on('uncaughtException', (error) => {
      logger.error(`An error that nobody handled: ${error}`);
      resolve(error);
    });
  });
  return Promise.race([
    stopRequest.requested.then((request) => ({ request })),
    service.failure.then((error) => ({ error })),
    crash.then((error) => ({ error })),
  ]);
}

function giveBackLater(logger: Logger): void {
  setTimeout(() => {
    giveBack().catch((error) => logger.debug(`Memory of the start is kept: ${error}`));
  }, STARTED_MS).unref();
}

async function reopenAndReload(service: Service): Promise<void> {
  await service.reopen();
  await service.reload();
}

async function stop(service: Service, logger: Logger): Promise<void> {
  const lastMoment = setTimeout(() => {
    logger.error(`Not stopped after ${LAST_MOMENT_MS} ms: ending at once`);
    process.exit(1);
  }, LAST_MOMENT_MS);
  await service.shutdown(SHUTDOWN_MS);
  clearTimeout(lastMoment);
}

/** A page that is scraped every few seconds must not fill the log. */
function onceByName(tell: (name: string, error: unknown) => void): (name: string, error: unknown) => void {
  const told = new Set<string>();
  return (name, error) => {
    if (told.has(name)) return;
    told.add(name);
    tell(name, error);
  };
}
