import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DemandReader } from '#adapters/demand-reader';
import type { EventLog } from '#adapters/event-log';
import type { Fleet } from '#adapters/fleet';
import type { DecisionRecord, DecisionStore, DemandStore, PolicyRow } from '#adapters/store';
import {
  bucketStartMs,
  closedArrivals,
  demandView,
  newDemandSeries,
  sampledToMs,
  trail,
  type DemandView,
} from '#domain/demand';
import {
  decide,
  type Decision,
  type DecisionInput,
  type DecisionMemory,
  type FleetView,
  type Policy,
} from '#domain/scaling';
import type { FleetViews, MissingInput } from './fleet-views.js';
import { inTime, within } from './in-time.js';
import type { LatestForecasts } from './latest-forecasts.js';
import type { PolicyCache } from './policy-cache.js';
import type { ScaledPool } from './scaled-pool.js';

export interface AutoscalerObserver {
  decided(made: { decision: Decision; input: DecisionInput }): void;
  /** An order to the fleet that it took, or that failed. */
  ordered(order: { decision: Decision; error: Error | undefined }): void;
  /** Decisions will be blind for it. */
  inputMissing(missing: MissingInput): void;
  /** Decisions were made and acted upon, and will never be in the record: the event log took none for too long. */
  decisionsLost(decisions: number): void;
  /** The pool has lost its policy. */
  forgotten(pool: string): void;
}

export interface AutoscalerOptions {
  log: Pick<EventLog, 'append'>;
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
  /** Decisions that wait for the event log; default 20,000. */
  maxUnrecorded?: number;
}

/** History for the mean load, in first seasons. */
const MEAN_LOAD_SEASONS = 7;
/** Decisions made between two turns of the event loop, some milliseconds' worth. */
const POOLS_PER_TURN = 100;
/** Decisions that wait for the event log. */
const MAX_UNRECORDED = 20_000;
/** Pools whose past is read back in one run. */
const MAX_OPENED_PER_RUN = 200;

/** Every pool with a policy: gather → decide → apply → record. */
export class Autoscaler {
  private readonly memories = new Map<string, DecisionMemory | undefined>();
  private readonly lastDecisions = new Map<string, Decision>();
  private readonly unrecorded: DecisionRecord[] = [];

  constructor(private readonly options: AutoscalerOptions) {}

  /** Brings the fleets to where they stood when the program ended; at least to each policy's minimum. */
  async restoreFleets(): Promise<void> {
    const { policies, fleet } = this.options;
    for (const { pool, policy } of policies.all()) {
      if (!this.options.settingsOf(pool).hasFleet) continue;
      const { minWorkers, maxWorkers } = policy.bounds;
      // In mode observe the record says what would have been ordered, not what was.
      const last = policy.mode === 'observe' ? undefined : await this.options.decisionStore.latest(pool);
      const desired = Math.min(Math.max(last?.decision.desired ?? 0, minWorkers), maxWorkers);
      await fleet.scale({ pool, desired });
    }
  }

  async run(): Promise<void> {
    const { policies, fleetViews, nowMs } = this.options;
    // The clock first: what happens while the answer is on its way is not counted.
    const askedAtMs = nowMs();
    const behindMs = await inTime(this.options.reader.behindMs(), {
      what: 'event log: how far behind its readers are',
      missing: (error) => this.options.observer.inputMissing({ input: 'event-log', error }),
    });
    const countedToMs = behindMs === undefined ? undefined : askedAtMs - behindMs;
    const rows = await this.openedRows(policies.all());
    const fleets = await Promise.all(
      rows.map((row) => (this.hasFleet(row) ? fleetViews.of(row.pool) : this.assumedFleet(row))),
    );
    for (const [i, row] of rows.entries()) {
      if (i % POOLS_PER_TURN === POOLS_PER_TURN - 1) await nextTurn();
      const record = this.decideFor(row, { fleet: fleets[i], countedToMs });
      this.unrecorded.push(record);
      await this.apply(record.decision, row.policy, fleets[i]);
    }
    await this.record();
  }

  lastDecision(pool: string): Decision | undefined {
    return this.lastDecisions.get(pool);
  }

  /** Pools that were opened, some more each run. Those that lost their policy are forgotten. */
  private async openedRows(rows: PolicyRow[]): Promise<PolicyRow[]> {
    const pools = new Set(rows.map(({ pool }) => pool));
    for (const pool of this.memories.keys()) {
      if (pools.has(pool)) continue;
      this.memories.delete(pool);
      this.lastDecisions.delete(pool);
      this.options.observer.forgotten(pool);
    }
    const closed = rows.filter(({ pool }) => !this.memories.has(pool)).slice(0, MAX_OPENED_PER_RUN);
    for (const { pool } of closed) await this.open(pool);
    return rows.filter(({ pool }) => this.memories.has(pool));
  }

  private hasFleet({ pool }: PolicyRow): boolean {
    return this.options.settingsOf(pool).hasFleet;
  }

  /** So that a pool whose platform runs its own workers is decided for all the same. */
  private assumedFleet({ pool, policy }: PolicyRow): FleetView {
    const { worker, leadTimeMaxS } = this.options.settingsOf(pool);
    const desired = this.memories.get(pool)?.lastDesired ?? policy.bounds.minWorkers;
    const now = { ready: desired, starting: 0, draining: 0, desired };
    return { ...now, slotsPerWorker: worker.slots, leadTimeS: leadTimeMaxS, assumed: true };
  }

  private decideFor(
    { pool, policy, version }: PolicyRow,
    seen: { fleet: FleetView | undefined; countedToMs: number | undefined },
  ): DecisionRecord {
    const { settingsOf, forecasts, observer, nowMs } = this.options;
    const { bucketS, seasonsS } = settingsOf(pool);
    const input: DecisionInput = {
      nowMs: nowMs(),
      pool,
      bucketS,
      seasonS: seasonsS[0] as number,
      policy,
      policyVersion: version,
      demand: seen.countedToMs === undefined ? undefined : this.demandOf(pool, seen.countedToMs),
      forecast: forecasts.get(pool),
      fleet: seen.fleet,
    };
    const { decision, memory } = decide(input, this.memories.get(pool));
    this.memories.set(pool, memory);
    this.lastDecisions.set(pool, decision);
    observer.decided({ decision, input });
    return { v: 1, decision, memory, policyVersion: version };
  }

  private async apply(decision: Decision, policy: Policy, seen: FleetView | undefined): Promise<void> {
    const { fleet, observer } = this.options;
    if (seen === undefined || seen.assumed || policy.mode === 'observe' || decision.desired === seen.desired)
      return;
    try {
      await within(fleet.scale(decision), `fleet: an order for pool ${decision.pool}`);
      observer.ordered({ decision, error: undefined });
    } catch (error) {
      observer.ordered({ decision, error: error as Error });
    }
  }

  /** What could not be recorded is recorded with the next run; the oldest are lost when there are too many. */
  private async record(): Promise<void> {
    const { log, observer, maxUnrecorded = MAX_UNRECORDED } = this.options;
    const records = this.unrecorded.splice(0);
    if (records.length === 0) return;
    const messages = records.map((record) => ({ key: record.decision.pool, value: JSON.stringify(record) }));
    try {
      await log.append('decisions.v1', messages);
    } catch (error) {
      const lost = Math.max(0, records.length - maxUnrecorded);
      if (lost > 0) observer.decisionsLost(lost);
      this.unrecorded.unshift(...records.slice(lost));
      throw error;
    }
  }

  /** Undefined: nobody reads this pool's demand here (yet), which is not the same as none. */
  private demandOf(pool: string, allCountedToMs: number): DemandView | undefined {
    const { reader, settingsOf } = this.options;
    if (!reader.owns(pool)) return undefined;
    const { bucketS, seasonsS, settleMs, sampledBy = [] } = settingsOf(pool);
    const series = reader.of(pool) ?? newDemandSeries({ bucketS, seasonS: seasonsS[0] as number });
    const countedToMs = Math.min(allCountedToMs - settleMs, sampledToMs(sampledBy, series.chains));
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
