import type { DemandReaderOptions } from '#adapters/demand-reader';
import type { LogServerObserver, RecordObserver } from '#adapters/event-log';
import type { EventSinkObserver } from '#adapters/event-sink';
import type { FleetObserver, RemoteFleetObserver } from '#adapters/fleet';
import type { LoopObserver } from '#adapters/loop';
import { LimitedNotes } from '#adapters/notes';
import type { PartitionOptions } from '#adapters/store';
import type { RecordSourceObserver } from '#adapters/record-sources';
import { ForgottenPools, type Logger, type Metrics } from '#adapters/telemetry';
import { decisionIdOf, forecastEndsEarly, type Decision, type FleetView } from '#domain/scaling';
import type { AutoscalerObserver } from '../autoscaler/autoscaler.js';
import type { PolicyObserver } from '../autoscaler/policies.controller.js';
import type { ForecasterObserver } from '../forecaster/forecaster.js';
import type { IngestObserver } from '../ingest/index.js';
import type { RouteOutcome, RouterObserver } from '../router/router-observer.js';
import type { SourcesModuleOptions } from './sources.module.js';
import type { StatusLines } from './status-lines.js';

type DemandRead = { demandRead: DemandReaderOptions['observe'] };

/** What the services report, as metrics and log lines: the only place that knows both. */
export interface Observers {
  log: LoopObserver;
  logServer: LogServerObserver;
  sink: EventSinkObserver;
  fleet: FleetObserver;
  remoteFleet: RemoteFleetObserver;
  ingest: IngestObserver;
  forecaster: ForecasterObserver & LoopObserver & RecordObserver & DemandRead;
  autoscaler: AutoscalerObserver & PolicyObserver & LoopObserver & RecordObserver & DemandRead;
  router: RouterObserver;
  sources: SourcesModuleOptions['observer'];
  partition: PartitionOptions['observe'];
  tokenRenewalFailed(error: Error): void;
}

interface Given {
  metrics: Metrics;
  logger: Logger;
  status: StatusLines;
}

export function observersOf(given: Given): Observers {
  const loop = loopObserver(given);
  const { logger } = given;
  return {
    log: loop,
    logServer: logServerObserver(given),
    sink: sinkObserver(given),
    fleet: fleetObserver(given),
    remoteFleet: remoteFleetObserver(given),
    ingest: { ...ingestObserver(given), loop },
    forecaster: { ...forecasterObserver(given), ...loop, ...readerObserver('forecaster', given) },
    autoscaler: { ...autoscalerObserver(given), ...loop, ...readerObserver('autoscaler', given) },
    router: routerObserver(given),
    sources: sourcesObserver(given),
    partition: (event) => given.metrics.storePartitions.inc(event),
    tokenRenewalFailed: (err) => logger.error({ err }, 'workers keep their old token'),
  };
}

function loopObserver({ metrics, logger }: Given): LoopObserver {
  return {
    ran: ({ name, durationMs, overrun }) => {
      metrics.loopRuns.inc({ loop: name, outcome: overrun ? 'overran' : 'ran' });
      metrics.loopRun.observe({ loop: name }, durationMs / 1000);
    },
    failed: ({ name, error }) => {
      metrics.loopRuns.inc({ loop: name, outcome: 'failed' });
      logger.error({ err: error, loop: name }, 'a run failed');
    },
  };
}

function logServerObserver({ metrics, logger }: Given): LogServerObserver {
  return {
    groupFailed: ({ group, error, retryInMs }) => {
      metrics.consumerFailures.inc({ group });
      logger.error({ err: error, group, retryInMs }, 'a consumer failed and joins again');
    },
    batchHandled: ({ group, topic, records, durationMs }) => {
      metrics.consumerRecords.inc({ group, topic }, records);
      metrics.consumerBatch.observe({ group, topic }, durationMs / 1000);
    },
    recordsLost: ({ from, to, ...at }) => {
      metrics.lostRecords.inc(at, to - from);
      logger.error({ ...at, from, to }, 'records are lost: retention dropped them before they were read');
    },
  };
}

function readerObserver(
  reader: string,
  { metrics, logger }: Given,
): Pick<RecordObserver, 'recordUnreadable'> & DemandRead {
  return {
    demandRead: (outcome, { pool, range }) => {
      metrics.demandPartials.inc({ reader, outcome });
      if (outcome === 'gap') logger.error({ reader, pool, range }, 'demand messages are missing');
      if (outcome === 'unreadable')
        logger.error({ reader, pool, range }, 'a record of demand.v1 is no demand');
    },
    recordUnreadable: (record) => {
      metrics.unreadableRecords.inc({ reader, topic: record.topic });
      logger.error({ reader, ...record }, 'a record is not what its topic carries');
    },
  };
}

function sinkObserver({ metrics, logger }: Given): EventSinkObserver {
  return {
    acknowledged: (events) => metrics.sinkEvents.inc({ outcome: 'acknowledged' }, events),
    dropped: (events, outcome) => {
      metrics.sinkEvents.inc({ outcome }, events);
      logger.error({ events, outcome }, 'execution events are lost');
    },
    retrying: (err, retryInMs) => {
      metrics.sinkRetries.inc();
      logger.warn({ err, retryInMs }, 'execution events are sent again');
    },
  };
}

function fleetObserver({ metrics, logger }: Given): FleetObserver {
  return {
    started: (worker) => logger.debug(worker, 'worker ordered'),
    ready: ({ leadTimeS, ...worker }) => {
      metrics.workerStart.observe({ pool: worker.pool }, leadTimeS);
      logger.info({ ...worker, leadTimeS }, 'worker ready');
    },
    crashed: (worker) => {
      metrics.workerExits.inc({ pool: worker.pool, cause: 'crashed' });
      logger.error(worker, 'worker crashed, another one follows');
    },
    stopped: (worker) => {
      metrics.workerExits.inc({ pool: worker.pool, cause: worker.killed ? 'killed' : 'drained' });
      logger.info(worker, 'worker stopped');
    },
    eventsDropped: (drop) => {
      metrics.workerEventsDropped.inc({ pool: drop.pool }, drop.events);
      logger.error(drop, 'execution events of a worker are lost');
    },
  };
}

function remoteFleetObserver({ metrics, logger }: Given): RemoteFleetObserver {
  return {
    asked: ({ operation, error }) => {
      metrics.fleetRequests.inc({ operation, outcome: error === undefined ? 'answered' : 'failed' });
      // An order that fails is said where it was given; one that observes in vain is a blind decision.
      if (error !== undefined && operation === 'follow')
        logger.warn({ err: error }, 'the fleet does not say who is there; its last word counts');
    },
    hostFound: ({ first }) => {
      if (first) return logger.info('the fleet has been found');
      metrics.fleetRestarts.inc();
      logger.warn('the fleet has started anew: its workers are others');
    },
  };
}

function ingestObserver({ metrics, logger }: Given): Omit<IngestObserver, 'loop'> {
  return {
    counted: ({ records, counts, deadLetters }) => {
      const dead = Object.values(deadLetters).reduce((sum, letters) => sum + letters, 0);
      const { duplicates, late, expired, forgottenEarly } = counts;
      metrics.ingestRecords.inc({ outcome: 'counted' }, records - duplicates - dead - late);
      metrics.ingestRecords.inc({ outcome: 'duplicate' }, duplicates);
      metrics.ingestRecords.inc({ outcome: 'late' }, late);
      metrics.ingestRecords.inc({ outcome: 'dead-lettered' }, dead);
      for (const [reason, letters] of Object.entries(deadLetters))
        metrics.ingestDeadLetters.inc({ reason }, letters);
      metrics.ingestExpired.inc(expired);
      metrics.ingestForgottenEarly.inc(forgottenEarly);
    },
    restored: (partition) => logger.info(partition, 'ingest took a partition over'),
    poolCreated: (pool) => logger.info({ pool }, 'a pool has got the policy it starts with'),
    partialApplied: ({ pool, range, outcome }) => {
      metrics.demandPartials.inc({ reader: 'demand-table', outcome });
      if (outcome === 'gap')
        logger.error({ reader: 'demand-table', pool, range }, 'demand messages are missing');
    },
    seriesRestarted: (series) => {
      metrics.demandSeriesRestarts.inc();
      logger.warn(
        series,
        'the buckets of a pool have another length: its history and forecasts begin anew, what is kept from before is left out',
      );
    },
    partialUnreadable: (record) => {
      metrics.demandPartials.inc({ reader: 'demand-table', outcome: 'unreadable' });
      logger.error(record, 'a record of demand.v1 is no demand');
    },
    eventsReceived: (outcome, events) => metrics.apiEvents.inc({ outcome }, events),
    recordsMapped: (mapping, outcome, records) => metrics.mappedRecords.inc({ mapping, outcome }, records),
    sampled: ({ source, asked, told }) => {
      metrics.demandSamples.inc({ source, outcome: 'told' }, told);
      metrics.demandSamples.inc({ source, outcome: 'unknown' }, Math.max(0, asked - told));
    },
    sampleFailed: ({ source, pool, error }) => {
      metrics.demandSamples.inc({ source, outcome: 'failed' });
      logger.error({ err: error, source, pool }, 'a source did not tell the demand of a pool');
    },
    ofSource: (source) => recordSourceObserver(source, { metrics, logger }),
    lettersRead: (operation, letters) => metrics.readDeadLetters.inc({ operation }, letters),
    lettersUnreadable: (err) => logger.error({ err }, 'the dead letters could not be read'),
    lettersReplayed: ({ outcome, letters, subject }) => {
      metrics.replayedDeadLetters.inc({ outcome }, letters);
      logger.info({ outcome, letters, subject }, 'dead letters were to be replayed');
    },
    historyTaken: (outcome) => metrics.historyPieces.inc({ outcome }),
    appendFailed: (err) => logger.error({ err }, 'events or demand could not be appended'),
  };
}

function recordSourceObserver(
  source: string,
  { metrics, logger }: Pick<Given, 'metrics' | 'logger'>,
): RecordSourceObserver {
  metrics.recordSourceConnected.set({ source }, 0);
  return {
    connected: () => {
      metrics.recordSourceConnected.set({ source }, 1);
      logger.info({ source }, 'a source of events is connected');
    },
    disconnected: ({ error, retryInMs }) => {
      metrics.recordSourceConnected.set({ source }, 0);
      metrics.recordSourceFailures.inc({ source, step: 'connect' });
      logger.error({ err: error, source, retryInMs }, 'a source of events is not connected');
    },
    taken: (records) => metrics.recordSourceRecords.inc({ source }, records),
    notTaken: ({ error, retryInMs, records }) => {
      metrics.recordSourceFailures.inc({ source, step: 'take' });
      logger.error({ err: error, source, retryInMs, records }, 'records of a source could not be written');
    },
  };
}

function forecasterObserver({ metrics, logger }: Given): ForecasterObserver {
  return {
    forecast: ({ provenance }) => metrics.forecasts.inc({ state: provenance.state }),
    stepped: ({ durationMs }) => metrics.forecastStep.observe(durationMs / 1000),
    stepFailed: (failure) => {
      metrics.forecasts.inc({ state: 'failed' });
      logger.error(failure, 'a pool has no forecast of this bucket');
    },
  };
}

function autoscalerObserver({ metrics, logger, status }: Given): AutoscalerObserver & PolicyObserver {
  const missing = new LimitedNotes(({ msg, ...what }) => logger.error(what, msg));
  const { decisions, decisionLimits, shortForecastDecisions, objectiveReachable, workers } = metrics;
  const levels = new PoolLevels(metrics);
  const gone = new ForgottenPools([
    decisions,
    decisionLimits,
    shortForecastDecisions,
    objectiveReachable,
    workers,
  ]);
  return {
    decided: (made) => {
      const { decision, input } = made;
      const { pool, kind, reason, limits, desired } = decision;
      status.decided(made);
      metrics.decisions.inc({ pool, kind, reason });
      for (const { limit } of limits) metrics.decisionLimits.inc({ pool, limit });
      if (forecastEndsEarly(decision)) metrics.shortForecastDecisions.inc({ pool });
      levels.show(decision, input.fleet);
      if (kind === 'scale') {
        const { previousDesired, explanation } = decision;
        logger.info(
          { pool, decision: decisionIdOf(decision), from: previousDesired, to: desired, reason },
          explanation,
        );
      }
    },
    inputMissing: ({ error, ...what }) => {
      metrics.decisionInputsMissing.inc({ input: what.input });
      missing.note({ msg: 'decisions are blind for want of an answer', err: error.message, ...what });
    },
    decisionsLost: (decisions) => {
      metrics.decisionsLost.inc(decisions);
      logger.error(
        { decisions },
        'decisions are missing in the record: the event log took none for too long',
      );
    },
    policyChanged: ({ what, ...change }) => logger.info(change, `policy ${what}`),
    forgotten: (pool) => {
      status.forgotten(pool);
      levels.forget(pool);
      void gone.forget(pool);
    },
    restored: ({ pool, desired, error }) => {
      metrics.decisionsApplied.inc({ outcome: error === undefined ? 'restored' : 'failed' });
      if (error === undefined) logger.info({ pool, desired }, 'a fleet that knew of no order got one');
      else logger.error({ err: error, pool, desired }, 'the fleet did not take an order');
    },
    outdated: (decision) => {
      metrics.decisionsApplied.inc({ outcome: 'outdated' });
      const { pool, desired } = decision;
      logger.warn(
        { pool, decision: decisionIdOf(decision), desired },
        'decided too long ago to be ordered still',
      );
    },
    ordered: ({ decision, error }) => {
      metrics.decisionsApplied.inc({ outcome: error === undefined ? 'taken' : 'failed' });
      if (error !== undefined)
        logger.error(
          { err: error, pool: decision.pool, decision: decisionIdOf(decision) },
          'the fleet did not take an order',
        );
    },
  };
}

/** Levels of each pool, set when they change: a gauge costs as much as a decision, and nearly none of them changes. */
class PoolLevels {
  private readonly shown = new Map<string, string>();

  constructor(private readonly metrics: Pick<Metrics, 'workers' | 'objectiveReachable'>) {}

  show({ pool, desired, objectiveReachable: isReachable }: Decision, fleet: FleetView | undefined): void {
    const { ready, starting, draining } = fleet ?? {};
    const levels = `${desired} ${isReachable} ${ready} ${starting} ${draining}`;
    if (this.shown.get(pool) === levels) return;
    this.shown.set(pool, levels);
    const { workers, objectiveReachable } = this.metrics;
    objectiveReachable.set({ pool }, isReachable ? 1 : 0);
    workers.set({ pool, state: 'desired' }, desired);
    if (fleet === undefined) return;
    for (const state of ['ready', 'starting', 'draining'] as const)
      workers.set({ pool, state }, fleet[state]);
  }

  forget(pool: string): void {
    this.shown.delete(pool);
  }
}

/** What a router's request ended with that somebody of ours may be to blame for. */
const FAULTS: readonly RouteOutcome[] = ['deadline', 'upstream', 'worker-refused'];

function routerObserver({ metrics, logger }: Given): RouterObserver {
  const faults = new LimitedNotes(({ msg, ...ids }) => logger.warn(ids, msg));
  return {
    arrived: () => undefined,
    requestEnded: ({ pool, executionId, outcome, status, responseMs, waitMs }) => {
      if (FAULTS.includes(outcome))
        faults.note({ msg: 'a request was not served', executionId, pool, outcome, status, responseMs });
      metrics.routerRequests.inc({ pool, outcome });
      metrics.routerResponse.observe({ pool }, responseMs / 1000);
      if (waitMs !== undefined) metrics.routerWait.observe({ pool }, waitMs / 1000);
    },
    retried: (pool) => metrics.routerRetries.inc({ pool }),
    unroutable: (reason) => metrics.routerUnroutable.inc({ reason }),
    listenerFailed: (err) => logger.error({ err }, 'the router could not accept a connection'),
  };
}

function sourcesObserver({ metrics, logger }: Given): SourcesModuleOptions['observer'] {
  const seen = new Map<string, { ok: number; sent: number; skipped: number }>();
  return {
    progress: (pool, { ok, sent, skipped, inFlight }) => {
      const before = seen.get(pool) ?? { ok: 0, sent: 0, skipped: 0 };
      const ended = sent - inFlight;
      metrics.sourceRequests.inc({ pool, outcome: 'ok' }, ok - before.ok);
      metrics.sourceRequests.inc(
        { pool, outcome: 'failed' },
        Math.max(0, ended - ok - (before.sent - before.ok)),
      );
      metrics.sourceRequests.inc({ pool, outcome: 'skipped' }, skipped - before.skipped);
      seen.set(pool, { ok, sent: ended, skipped });
    },
    failed: (pool, err) => logger.error({ err, pool }, 'the synthetic source of a pool has ended'),
  };
}
