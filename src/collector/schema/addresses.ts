/** Where to listen and where to send. */
import { isIPv6 } from 'node:net';
import { isAbsent, textOf } from './nodes.ts';
import { mistake } from './scalars.ts';
import type { Schema } from './types.ts';

export interface Endpoint {
  /** A host name or an address, IPv6 without brackets. */
  readonly host: string;
  /** 0 asks the kernel for a free port, where listening makes that possible. */
  readonly port: number;
}

const ENDPOINT = /^(?:\[([^\]]*)\]|([^:[\]\s/@]*)):(\d{1,5})$/;
const HOST = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_.])?$/;

/** `host:port`, as `localhost:15020`, `0.0.0.0:15020` or `[::1]:15020`. `anyPort` allows port 0. */
export function endpoint(options: { readonly anyPort?: boolean } = {}): Schema<Endpoint> {
  const expects = `host:port such as localhost:15020 or [::1]:15020, port ${options.anyPort ? 0 : 1} to 65535`;
  const read = (text: string): Endpoint | undefined => {
    const match = ENDPOINT.exec(text);
    if (match === null) return undefined;
    const [, bracketed, plain, digits] = match;
    const port = Number(digits);
    const host = bracketed ?? plain!;
    const valid = bracketed === undefined ? isHostName(host) : isIPv6(host);
    return valid && port <= 65535 && (port > 0 || options.anyPort === true) ? { host, port } : undefined;
  };
  return {
    expects,
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : textOf(node);
      const value = text === undefined ? undefined : read(text);
      if (value !== undefined) return value;
      mistake({ expects }, node, path, report, text === undefined ? '' : endpointHint(text));
      return { host: '', port: 0 };
    },
  };
}

/** A name by its letters; what looks like an IPv4 address must be one. */
function isHostName(host: string): boolean {
  if (/^[\d.]+$/.test(host)) {
    const parts = host.split('.');
    return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  }
  return HOST.test(host);
}

function endpointHint(text: string): string {
  if (/^\w+:\/\//.test(text)) return ` Leave the scheme away: ${text.replace(/^\w+:\/\//, '').replace(/\/.*$/, '')}.`;
  const port = /:(\d+)$/.exec(text);
  if (port !== null && isIPv6(text.slice(0, -port[0].length))) {
    return ` An IPv6 address goes in brackets: [${text.slice(0, -port[0].length)}]${port[0]}.`;
  }
  if (/^:\d+$/.test(text))
    return ` Name the host too: 0.0.0.0${text} for every address, localhost${text} for this host.`;
  return '';
}

/** An absolute URL, as text without a trailing slash. `schemes` without the colon. */
export function url(schemes: readonly [string, ...string[]] = ['http', 'https']): Schema<string> {
  const expects = `a URL such as ${schemes[0]}://localhost:4318, scheme ${schemes.join(' or ')}`;
  return {
    expects,
    parse(node, path, report) {
      const text = isAbsent(node) ? undefined : textOf(node);
      const parsed = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
      if (text !== undefined && parsed !== undefined && parsed.hostname !== '') {
        if (schemes.includes(parsed.protocol.slice(0, -1))) return text.replace(/\/+$/, '');
      }
      const lacksScheme = text !== undefined && !text.includes('://') && URL.canParse(`${schemes[0]}://${text}`);
      mistake(
        { expects },
        node,
        path,
        report,
        lacksScheme ? ` Put the scheme before it: ${schemes[0]}://${text}.` : '',
      );
      return '';
    },
  };
}
