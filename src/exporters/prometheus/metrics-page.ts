/**
 * Answers a scrape. Bounded whatever scrapers do: so many at once, each with one chunk under way and a copy of the
 * table's values that those who ask between two changes share; and so long at most, however slowly it reads.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import type { SetSnapshot } from '../series-snapshot.ts';
import { acceptsGzip, formatFor } from './negotiate.ts';
import { pageChunks } from './page.ts';
import { PageBuffer } from './page-buffer.ts';
import { sendChunks } from './send-chunks.ts';
import { CONTENT_TYPE } from './text-format.ts';

const CHUNK_BYTES = 256 * 1024;

/** Scrapes under way at once; a cluster has a few Prometheus servers, and a person with curl. */
const MAX_SCRAPES = 16;

/** Prometheus' own limit is the scrape interval, a minute as a rule. */
const SCRAPE_TIMEOUT_MS = 120_000;

/** What the page shows. Both are read in the same turn of the event loop, so they are of one instant. */
export interface PageSource {
  snapshot(): readonly SetSnapshot[];
  /** Families that are not counted per pair, as Prometheus text 0.0.4. */
  rest(): Promise<string>;
}

export class MetricsPage {
  readonly #source: PageSource;
  #scrapes = 0;

  constructor(source: PageSource) {
    this.#source = source;
  }

  /** Resolves when the response is over: sent, or broken off by the reader. Rejects when the page can't be made. */
  async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#scrapes >= MAX_SCRAPES) {
      response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '1' });
      response.end(`${MAX_SCRAPES} scrapes are under way already\n`);
      return;
    }
    this.#scrapes++;
    const timeout = setTimeout(() => response.destroy(), SCRAPE_TIMEOUT_MS);
    try {
      await this.#send(request, response);
    } finally {
      clearTimeout(timeout);
      this.#scrapes--;
    }
  }

  async #send(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = formatFor(request.headers.accept);
    const gzip = acceptsGzip(request.headers['accept-encoding']);
    const headers = {
      'content-type': CONTENT_TYPE[format],
      vary: 'accept, accept-encoding',
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    };
    if (request.method === 'HEAD') {
      response.writeHead(200, headers);
      response.end();
      return;
    }
    const rest = this.#source.rest();
    const snapshot = this.#source.snapshot();
    const chunks = pageChunks(snapshot, await rest, format, new PageBuffer(CHUNK_BYTES));
    response.writeHead(200, headers);
    if (!gzip) {
      if (await sendChunks(response, chunks)) response.end();
      return;
    }
    const coder = createGzip({ level: constants.Z_BEST_SPEED });
    const feed = async () => {
      if (await sendChunks(coder, chunks)) coder.end();
    };
    await Promise.all([feed(), pipeline(coder, response).catch(unlessReaderLeft)]);
  }
}

/** How a stream ends when the other side went away: nothing to tell anyone. */
const READER_LEFT: readonly unknown[] = ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE'];

function unlessReaderLeft(error: NodeJS.ErrnoException): void {
  if (!READER_LEFT.includes(error.code)) throw error;
}
