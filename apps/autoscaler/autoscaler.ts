import type { DemandReader } from '#adapters/demand-reader';
import type { EventLog } from '#adapters/event-log';
import type { Fleet } from '#adapters/fleet';
import type { DecisionRecord, DecisionStore, DemandStore, PolicyRow } from '#adapters/store';
import {
  bucketStartMs,
  closedArrivals,
  demandView,
  newDemandSeries,
  trail,
  type DemandView,
} from '#domain/demand';
import { decide, type Decision, type DecisionInput, type DecisionMemory } from '#domain/scaling';
import type { FleetViews } from './fleet-views.js';
import { inTime } from './in-time.js';
import type { LatestForecasts } from './latest-forecasts.js';
import type { PolicyCache } from './policy-cache.js';

/** What the autoscaler must know of a pool. */
export interface ScaledPool {
  bucketS: number;
  seasonsS: readonly number[];
  settleMs: number;
  /** Somebody of ours runs its workers. */
  hasFleet: boolean;
}

export interface AutoscalerObserver {
  decided(made: { decision: Decision; input: DecisionInput }): void;
  /** An order to the fleet that it took, or that failed. */
  ordered(order: { decision: Decision; error: Error | undefined }): void;
}

export interface AutoscalerOptions {
  log: EventLog;
  reader: DemandReader;
  forecasts: LatestForecasts;
  policies: PolicyCache;
  fleet: Pick<Fleet, 'scale'>;
  fleetViews: FleetViews;
  demandStore: Pick<DemandStore, 'arrivalsSince'>;
  decisionStore: Pick<DecisionStore, 'latest'>;
  settingsOf(pool: string): ScaledPool;
  observer: AutoscalerObserver;
  nowMs(): number;
}

/** History for the mean load, in first seasons. */
const MEAN_LOAD_SEASONS = 7;
/** Pools whose past is read back in one run. */
const MAX_OPENED_PER_RUN = 200;

/** Every pool with a policy: gather → decide → apply → record. */
export class Autoscaler {
  private readonly memories = new Map<string, DecisionMemory | undefined>();
  private readonly lastDecisions = new Map<string, Decision>();

  constructor(private readonly options: AutoscalerOptions) {}

  /** Brings the fleets to where they stood when the program ended; at least to each policy's minimum. */
  async restoreFleets(): Promise<void> {
    const { policies, fleet } = this.options;
    for (const { pool, policy } of policies.all()) {
      if (!this.options.settingsOf(pool).hasFleet) continue;
      const { minWorkers, maxWorkers } = policy.bounds;
      const last = await this.options.decisionStore.latest(pool);
      const desired = Math.min(Math.max(last?.decision.desired ?? 0, minWorkers), maxWorkers);
      await fleet.scale({ pool, desired });
    }
  }

  async run(): Promise<void> {
    const behindMs = await inTime(this.options.reader.behindMs());
    const records: DecisionRecord[] = [];
    let opened = 0;
    for (const row of this.options.policies.all()) {
      const known = this.memories.has(row.pool);
      if (!known && opened++ >= MAX_OPENED_PER_RUN) continue;
      if (!known) await this.open(row.pool);
      records.push(await this.decideFor(row, behindMs));
    }
    const messages = records.map((record) => ({ key: record.decision.pool, value: JSON.stringify(record) }));
    if (messages.length > 0) await this.options.log.append('decisions.v1', messages);
  }

  lastDecision(pool: string): Decision | undefined {
    return this.lastDecisions.get(pool);
  }

  private async decideFor(row: PolicyRow, behindMs: number | undefined): Promise<DecisionRecord> {
    const { pool, policy, version } = row;
    const { settingsOf, forecasts, observer, nowMs } = this.options;
    const { bucketS, seasonsS } = settingsOf(pool);
    const fleet = await this.options.fleetViews.of(pool);
    const input: DecisionInput = {
      nowMs: nowMs(),
      pool,
      bucketS,
      seasonS: seasonsS[0] as number,
      policy,
      policyVersion: version,
      demand: behindMs === undefined ? undefined : this.demandOf(pool, behindMs),
      forecast: forecasts.get(pool),
      fleet,
    };
    const { decision, memory } = decide(input, this.memories.get(pool));
    this.memories.set(pool, memory);
    this.lastDecisions.set(pool, decision);
    observer.decided({ decision, input });
    if (fleet !== undefined && policy.mode !== 'observe' && decision.desired !== fleet.desired)
      await this.order(decision);
    return { v: 1, decision, memory, policyVersion: version };
  }

  private async order(decision: Decision): Promise<void> {
    const { fleet, observer } = this.options;
    try {
      await fleet.scale(decision);
      observer.ordered({ decision, error: undefined });
    } catch (error) {
      observer.ordered({ decision, error: error as Error });
    }
  }

  private demandOf(pool: string, behindMs: number): DemandView {
    const { reader, settingsOf, nowMs } = this.options;
    const { bucketS, seasonsS, settleMs } = settingsOf(pool);
    const series = reader.of(pool) ?? newDemandSeries({ bucketS, seasonS: seasonsS[0] as number });
    const countedToMs = nowMs() - behindMs - settleMs;
    const toMs = bucketStartMs(countedToMs, bucketS);
    trail(closedArrivals({ fromMs: series.trailing.untilMs, toMs }, series), series);
    return demandView({ countedToMs }, series);
  }

  /** Takes up a pool where its last recorded decision left it. */
  private async open(pool: string): Promise<void> {
    const { decisionStore, demandStore, reader, settingsOf, nowMs } = this.options;
    const last = await decisionStore.latest(pool);
    const series = reader.of(pool);
    if (series !== undefined) {
      const { bucketS, seasonsS } = settingsOf(pool);
      const bucketMs = bucketS * 1000;
      const toMs = bucketStartMs(nowMs(), bucketS) - bucketMs;
      const fromMs = toMs - MEAN_LOAD_SEASONS * (seasonsS[0] as number) * 1000;
      const rows = await demandStore.arrivalsSince({ pool, fromMs });
      trail(withoutHoles(rows, { toMs, bucketMs }), series);
    }
    this.memories.set(pool, last?.memory);
  }
}

/** A bucket without events has no row. */
function withoutHoles(
  rows: { startMs: number; arrivals: number }[],
  { toMs, bucketMs }: { toMs: number; bucketMs: number },
): { startMs: number; arrivals: number }[] {
  const arrivals = new Map(rows.map((row) => [row.startMs, row.arrivals]));
  const filled: { startMs: number; arrivals: number }[] = [];
  for (let startMs = rows[0]?.startMs ?? toMs; startMs < toMs; startMs += bucketMs)
    filled.push({ startMs, arrivals: arrivals.get(startMs) ?? 0 });
  return filled;
}
