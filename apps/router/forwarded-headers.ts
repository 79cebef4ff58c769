import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

/** Belong to one connection, not to the message (RFC 9110 §7.6.1). `expect` is answered here, before the worker. */
const HOP_BY_HOP = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Values of `Connection` that name no further header. */
const NAMES_NOTHING = new Set([undefined, 'keep-alive', 'close', 'Keep-Alive', 'Close']);
const OWN_PREFIX = 'x-headroom-';

/** Names and values in turn, for undici; without what is ours to say. */
export function requestHeaders({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = namedByConnection(headers.connection);
  const forwarded: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (HOP_BY_HOP.has(name) || name.startsWith(OWN_PREFIX) || named?.has(name)) continue;
    forwarded.push(name, rawHeaders[i + 1] as string);
  }
  return forwarded;
}

/** A worker's headers for the caller. */
export function responseHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = namedByConnection(headers.connection);
  const forwarded: OutgoingHttpHeaders = {};
  for (const name in headers) {
    if (!HOP_BY_HOP.has(name) && !named?.has(name)) forwarded[name] = headers[name];
  }
  return forwarded;
}

/** A request without these has no body (RFC 9112 §6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** What the request says of its body's size; 0 when it says nothing, as a chunked one. */
export function saidBodyBytes({ headers }: IncomingMessage): number {
  return Number(headers['content-length'] ?? 0);
}

function namedByConnection(connection: string | undefined): Set<string> | undefined {
  if (NAMES_NOTHING.has(connection)) return undefined;
  return new Set((connection as string).split(',').map((name) => name.trim().toLowerCase()));
}
