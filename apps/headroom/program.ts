import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions, NestMicroservice } from '@nestjs/microservices';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { EventLogServer, HandlerErrors } from '#adapters/event-log';
import { apiAdapter, configureApi, openApiOf, type ProofOf, type Route } from '#adapters/http-api';
import { NestLogger } from '#adapters/telemetry';
import { RecordSources } from '../ingest/index.js';
import { Router } from '../router/router.js';
import { originOf } from './origin.js';
import { openParts, type Parts, type PartsOptions } from './parts.js';
import { ProgramModule } from './program.module.js';
import { BACKUP_ROUTES } from './backup/backup.controller.js';
import { SYSTEM_ROUTES, SystemState, type Readiness } from './system.controller.js';
import { readinessOf } from './readiness.js';
import { modulesOf, needsOf, TARGETS, type TargetName } from './targets.js';

export interface ProgramOptions extends Omit<PartsOptions, 'needs'> {
  targets: readonly TargetName[];
  version: string;
  /** What senders of webhooks may bring instead of a token. */
  proofOf: ProofOf;
}

/** A running Headroom. */
export interface Program {
  urls: { api: string; router: string | undefined };
  readiness(): Promise<Readiness>;
  statusLines(): string[];
  /** Resolves with the reason when the store ends unasked: the program can do nothing more. */
  died: Promise<Error>;
  /** Stops everything in the reverse of its start. */
  stop(): Promise<void>;
}

/**
 * Starts the targets in this process. Rejects with nothing left open; throws what openParts throws, and CannotListen.
 */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const parts = await openParts({ ...options, needs: needsOf(options.targets) });
  try {
    return await startOn(parts, options);
  } catch (error) {
    await parts.closeFleet();
    await parts.close();
    throw error;
  }
}

/** Starts the targets on parts that are open already; closing them after a failed start is the caller's. */
export async function startOn(
  parts: Parts,
  { targets, version, config, logger, proofOf }: ProgramOptions,
): Promise<Program> {
  const hasStore = needsOf(targets).has('store');
  const routes: Route[] = [
    ...Object.values(SYSTEM_ROUTES),
    ...(hasStore ? Object.values(BACKUP_ROUTES) : []),
    ...targets.flatMap((target) => TARGETS[target].routes),
  ];
  const server = needsOf(targets).has('log')
    ? new EventLogServer(parts.log, parts.observers.logServer)
    : undefined;
  const readiness = () => readinessOf(parts, { targets, server });
  const state = new SystemState(
    readiness,
    async () => {
      await refreshGauges(parts, { targets, server, router: routerOf(app, targets) });
      refreshSources(parts, app, targets);
      return parts.metrics.registry.metrics();
    },
    () => openApiOf(routes, { title: 'Headroom', version }),
  );
  const onProblem = (status: number) => parts.metrics.apiProblems.inc({ status: String(status) });
  const program = ProgramModule.register({ parts, targets: modulesOf(targets, parts), state, hasStore });
  const app: NestFastifyApplication = await NestFactory.create<NestFastifyApplication>(
    program,
    apiAdapter({ bodyLimitBytes: config.api.bodyLimitBytes, onProblem }),
    { bodyParser: false, logger: new NestLogger(logger), abortOnError: false },
  );
  try {
    configureApi(app, {
      routes,
      verify: (token) => parts.identity.verifyToken(token),
      proofOf,
      onTokenRefused: (reason) => parts.metrics.apiUnauthorized.inc({ reason }),
      onProblem,
      onUnexpected: ({ error, ...where }) => logger.error({ err: error, ...where }, 'request failed'),
    });
    if (server !== undefined) connectLog(app, server);
    await app.startAllMicroservices();
    await app.listen({ host: config.api.host, port: config.api.port });
  } catch (error) {
    await app.close();
    throw cannotListen(error) ?? error;
  }
  return {
    urls: {
      api: originOf(config.api),
      router: targets.includes('router') ? originOf(config.router) : undefined,
    },
    readiness,
    died: parts.storeDied,
    statusLines: () => parts.status.lines(),
    stop: async () => {
      await app.close();
      await parts.close();
    },
  };
}

/**
 * Filters count only before the handlers are registered, which is therefore deferred; the application itself calls the
 * start hooks that Nest would then call a second time.
 */
function connectLog(app: NestFastifyApplication, server: EventLogServer): void {
  const consumers = app.connectMicroservice<MicroserviceOptions>(
    { strategy: server },
    { deferInitialization: true },
  ) as NestMicroservice;
  consumers.useGlobalFilters(new HandlerErrors());
  consumers.setIsInitHookCalled(true);
}

function routerOf(app: NestFastifyApplication, targets: readonly TargetName[]): Router | undefined {
  return targets.includes('router') ? app.get(Router, { strict: false }) : undefined;
}

interface Running {
  targets: readonly TargetName[];
  server: EventLogServer | undefined;
  router: Router | undefined;
}

/** Levels are read when somebody asks for them: those of the targets of this process. */
async function refreshGauges(parts: Parts, { targets, server, router }: Running): Promise<void> {
  const { metrics, pools } = parts;
  for (const pool of router === undefined ? [] : pools) {
    const { waiting, inFlight } = (router as Router).snapshot(pool);
    metrics.routerQueue.set({ pool }, waiting);
    metrics.routerInFlight.set({ pool }, inFlight);
  }
  metrics.consumerLagRecords.reset();
  for (const { group, topic, partition, offset, endOffset } of server?.positions() ?? [])
    metrics.consumerLagRecords.set({ group, topic, partition }, endOffset - offset);
  if (!targets.includes('ingest')) return;
  // Everything else about a program is most wanted while its log does not answer.
  const lag = await parts.log.lag({ group: 'ingest', topic: 'executions.v1' }).catch(() => undefined);
  if (lag === undefined) metrics.consumerLag.remove({ group: 'ingest' });
  else metrics.consumerLag.set({ group: 'ingest' }, lag.ageMs / 1000);
}

function refreshSources(
  { metrics }: Parts,
  app: NestFastifyApplication,
  targets: readonly TargetName[],
): void {
  if (!targets.includes('ingest')) return;
  for (const { source, records } of app.get(RecordSources, { strict: false }).waiting()) {
    if (records === undefined) metrics.recordSourceWaiting.remove({ source });
    else metrics.recordSourceWaiting.set({ source }, records);
  }
}

/** The API or the router cannot have the address that the configuration gives it. */
export class CannotListen extends Error {
  override name = 'CannotListen';
}

const LISTEN_RULES: Record<string, string> = {
  EADDRNOTAVAIL: 'must be an address of this machine',
  EACCES: 'must be a port that this user may listen on',
  ENOTFOUND: 'must be a name that can be resolved',
  EAI_AGAIN: 'must be a name that can be resolved',
};

type ListenError = NodeJS.ErrnoException & { address?: string; hostname?: string; port?: number };

function cannotListen(error: unknown): CannotListen | undefined {
  const { code = '', address, hostname, port, cause } = error as ListenError;
  if (code === '' && cause !== undefined) return cannotListen(cause);
  if (code === 'EADDRINUSE')
    return new CannotListen(`port ${port}: must be free, another program listens there`);
  const rule = LISTEN_RULES[code];
  if (rule === undefined) return undefined;
  const host = address ?? hostname;
  const where = port === undefined ? `host ${host}` : `address ${host}, port ${port}`;
  return new CannotListen(`${where}: ${rule}, got ${code}`);
}
