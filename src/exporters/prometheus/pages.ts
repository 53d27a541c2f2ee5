/** The pages of the endpoint (config.md): two names of the metrics page, health, readiness, and nothing else. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Host } from '../../collector/component.ts';
import type { Logger } from '../../collector/logger.ts';
import type { MetricsPage } from './metrics-page.ts';

const METHODS: readonly unknown[] = ['GET', 'HEAD'];

export function pages(metrics: MetricsPage, host: Pick<Host, 'notReady'>, logger: Logger): RequestListener {
  const answer: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => Promise<void> | void>> =
    {
      '/metrics': (request, response) => metrics.respond(request, response),
      '/stats/prometheus': (request, response) => metrics.respond(request, response),
      '/healthz': (_request, response) => text(response, 200, 'ok'),
      '/readyz': (_request, response) => readiness(response, host.notReady()),
    };
  return (request, response) => {
    const path = (request.url ?? '').replace(/\?.*$/s, '');
    const page = Object.hasOwn(answer, path) ? answer[path] : undefined;
    if (page === undefined) {
      text(response, 404, 'not found');
      return;
    }
    if (!METHODS.includes(request.method)) {
      response.setHeader('allow', 'GET, HEAD');
      text(response, 405, `${request.method} is not allowed here`);
      return;
    }
    Promise.resolve(page(request, response)).catch((error: Error) => {
      logger.error(`Could not answer ${request.method} ${path}: ${error.stack ?? error.message}`);
      if (response.headersSent) response.destroy();
      else text(response, 500, 'The page could not be made; the agent has logged why');
    });
  };
}

function readiness(response: ServerResponse, notReady: ReadonlyMap<string, string>): void {
  const missing = Array.from(notReady, ([component, what]) => `${component}: ${what}`);
  if (missing.length === 0) text(response, 200, 'ready');
  else text(response, 503, missing.join('\n'));
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${body}\n`);
}
