import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createEpochClock } from '#adapters/clock';
import type { EventSink } from '#adapters/event-sink';
import { MAX_BODY_BYTES, OWN_PATH, type Fleet, type Membership } from '#adapters/fleet';
import { answerClientError } from '#adapters/http-api';
import { executionIdentity } from './execution-identity.js';
import { PoolRoute } from './pool-route.js';
import { answerProblem } from './problem-answer.js';
import type { Misaddressed, RouterObserver, RouteSnapshot, Unreadable } from './router-observer.js';

/** Against connections that trickle (slowloris). */
const HEADERS_TIMEOUT_MS = 10_000;
/** How often slow callers are looked for: so many times in the time that headers may take. */
const SLOW_CHECKS = 5;
/** An unused connection is closed after this time. */
const KEEP_ALIVE_MS = 30_000;
/** Two for each of 10,000 users. */
const MAX_CONNECTIONS = 20_000;
/** After the last request has ended at a stop, callers have this long to read their answers. */
const FLUSH_MS = 1000;

const POOL_IN_PATH = /^\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?=[/?]|$)/;
/** What may follow the name of a folder in a path. */
const NAME_ENDS = new Set<string | undefined>([undefined, '/', '?']);

export interface RouterOptions {
  host: string;
  /** 0 = any free one. */
  port: number;
  /** From arrival to the end of the answer. */
  deadlineMs: number;
  /** Requests that may wait per pool. */
  queueLimit: number;
  /** Connections of callers; further ones are closed at once; default {@link MAX_CONNECTIONS}. */
  maxConnections?: number | undefined;
  /** A caller must have sent its headers within this time; default {@link HEADERS_TIMEOUT_MS}. */
  headersTimeoutMs?: number | undefined;
  /** A larger body is refused with 413; default: what a worker takes. */
  maxBodyBytes?: number | undefined;
  watch: Fleet['watch'];
  sink: EventSink;
  /** Names that exist; read per request. */
  pools: () => ReadonlySet<string>;
  /** Whether callers of a pool may name execution and attempt; read per request. Default: no pool's. */
  trustsExecutionIds?: ((pool: string) => boolean) | undefined;
  observer: RouterObserver;
  /** Epoch ms, with fraction. */
  nowMs?: (() => number) | undefined;
  /** [0, 1); chooses between workers. */
  random?: (() => number) | undefined;
}

/**
 * The data path: `http://host:port/<pool>/<rest>` goes to a worker of the pool as `/<rest>`. Owns its listener, apart
 * from the control-plane API: neither's load nor limits touch the other. node:http and undici's dispatch without a
 * framework between them: the only route is a prefix, and a framework takes a quarter of the requests per second.
 *
 * Bodies flow through; one that is too large for a worker is refused when its length says so, or cut where it is.
 * WebSockets are refused (501).
 */
export class Router {
  private readonly server: Server;
  private readonly routes = new Map<string, PoolRoute>();
  /** The latest answer on a connection. */
  private readonly latestOn = new WeakMap<Socket, ServerResponse>();
  private readonly nowMs: () => number;
  private unwatch: (() => void) | undefined;
  private closing = false;

  constructor(private readonly options: RouterOptions) {
    this.nowMs = options.nowMs ?? createEpochClock();
    const { headersTimeoutMs = HEADERS_TIMEOUT_MS, maxConnections = MAX_CONNECTIONS } = options;
    this.server = createServer({
      headersTimeout: headersTimeoutMs,
      // The whole request. A body waits in the socket while its request waits in line, so no less than the deadline.
      requestTimeout: options.deadlineMs + headersTimeoutMs,
      connectionsCheckingInterval: headersTimeoutMs / SLOW_CHECKS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    });
    this.server.maxConnections = maxConnections;
    this.server.on('drop', () => options.observer.unroutable('too-many-connections'));
    this.server.on('clientError', (error, socket) => this.refuseConnection(error, socket as Socket));
    this.server.on('request', (request, response) => this.route(request, response));
    // The word to send the body comes when a worker takes it; whoever is refused need not send it.
    this.server.on('checkContinue', (request, response) => this.route(request, response));
  }

  /** Rejects when the port cannot be had. Nest calls it. */
  async onApplicationBootstrap(): Promise<void> {
    this.unwatch = this.options.watch((membership) => this.setMembers(membership));
    const { host, port } = this.options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.server.on('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`router: ${host}:${port} must be free, got ${error.code}`, { cause: error }));
      if (this.server.listening) this.options.observer.listenerFailed(error);
    });
    this.server.listen(port, host, resolve);
    await promise;
  }

  /** Takes no more, lets what it has end (at most until the deadlines), then closes. Nest calls it. */
  async onModuleDestroy(): Promise<void> {
    this.closing = true;
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    this.server.close(() => resolve());
    await Promise.all([...this.routes.values()].map((route) => route.drain()));
    this.server.closeIdleConnections();
    const patience = new AbortController();
    const late = delay(FLUSH_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([closed, late]);
    patience.abort();
    this.server.closeAllConnections();
    this.unwatch?.();
    await Promise.all([...this.routes.values()].map((route) => route.close()));
  }

  /** Where it listens. Undefined: it does not. */
  get url(): string | undefined {
    const address = this.server.address() as AddressInfo | null;
    return address === null ? undefined : `http://${this.options.host}:${address.port}`;
  }

  snapshot(pool: string): RouteSnapshot {
    return this.routes.get(pool)?.snapshot() ?? { waiting: 0, inFlight: 0, readyWorkers: 0, slots: 0 };
  }

  private route(request: IncomingMessage, response: ServerResponse): void {
    const queuedAtMs = this.nowMs();
    this.latestOn.set(request.socket, response);
    const url = request.url as string;
    const pool = POOL_IN_PATH.exec(url)?.[1];
    if (pool === undefined) return this.refuse(response, 'malformed-pool');
    if (!this.options.pools().has(pool)) return this.refuse(response, 'unknown-pool');
    if (request.headers.upgrade?.toLowerCase() === 'websocket') return this.refuse(response, 'upgrade');
    const path = pathInPool(url, pool);
    if (isReserved(path)) return this.refuse(response, 'reserved-path');
    this.routeOf(pool).take({
      request,
      response,
      identity: executionIdentity(request.headers, this.options.trustsExecutionIds?.(pool) ?? false),
      path,
      queuedAtMs,
      deadlineMs: this.options.deadlineMs,
      maxBodyBytes: this.options.maxBodyBytes ?? MAX_BODY_BYTES,
    });
  }

  private refuse(response: ServerResponse, name: Misaddressed): void {
    this.options.observer.unroutable(name);
    const detail = MISADDRESSED[name];
    answerProblem(response, { status: name === 'upgrade' ? 501 : 404, name, detail });
  }

  /** What cannot be read, or is too slow. The end of a request that was routed counts there, not here. */
  private refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
    const latest = this.latestOn.get(socket);
    const isRouted = latest !== undefined && !(latest.req.complete && latest.writableFinished);
    // Nothing may be written into an answer that has begun, on its own or for a request before it.
    if (isRouted && (latest.headersSent || latest.socket !== socket)) return void socket.destroy();
    const status = answerClientError(error, socket);
    if (status !== undefined && !isRouted)
      this.options.observer.unroutable(UNREADABLE[status] ?? 'malformed-request');
  }

  private setMembers({ pool, members }: Membership): void {
    this.routeOf(pool).setMembers(members);
  }

  /** Grows by pools that exist or have workers, never by what a caller asks for. */
  private routeOf(pool: string): PoolRoute {
    const known = this.routes.get(pool);
    if (known !== undefined) return known;
    const { queueLimit, sink, observer, random = Math.random } = this.options;
    const route = new PoolRoute({ pool, queueLimit, sink, observer, nowMs: this.nowMs, random });
    route.closing = this.closing;
    this.routes.set(pool, route);
    return route;
  }
}

/** By the status of the answer. */
const UNREADABLE: Record<number, Unreadable> = { 408: 'too-slow', 431: 'headers-too-large' };

const MISADDRESSED: Record<Misaddressed, string> = {
  'malformed-pool': 'path: /<pool>/… with a pool of lower-case letters, digits and dashes, got another',
  'unknown-pool': 'pool: one that exists, got another',
  'reserved-path': `path: none below /<pool>${OWN_PATH}, got one`,
  upgrade: 'upgrade: plain HTTP requests, got a WebSocket',
};

function isReserved(path: string): boolean {
  return path.startsWith(OWN_PATH) && NAME_ENDS.has(path[OWN_PATH.length]);
}

/** `/web/a?b` → `/a?b`, `/web` → `/`, `/web?b` → `/?b`. */
function pathInPool(url: string, pool: string): string {
  const rest = url.slice(pool.length + 1);
  return rest.startsWith('/') ? rest : `/${rest}`;
}
