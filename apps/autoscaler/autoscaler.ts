import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DemandReader } from '#adapters/demand-reader';
import type { EventLog } from '#adapters/event-log';
import type { Fleet } from '#adapters/fleet';
import type { DecisionRecord, PolicyRow } from '#adapters/store';
import { bucketStartMs, demandView, newDemandSeries, sampledToMs, type DemandView } from '#domain/demand';
import {
  decide,
  type Decision,
  type DecisionInput,
  type DecisionMemory,
  type FleetView,
  type Policy,
} from '#domain/scaling';
import { DecisionRecording } from './decision-recording.js';
import { viewOf, type FleetViews, type MissingInput } from './fleet-views.js';
import { inTime, within } from './in-time.js';
import type { LatestForecasts } from './latest-forecasts.js';
import type { MeanLoads } from './mean-loads.js';
import type { PolicyCache } from './policy-cache.js';
import type { RecordedDecisions } from './recorded-decisions.js';
import type { ScaledPool } from './scaled-pool.js';

export interface AutoscalerObserver {
  decided(made: { decision: Decision; input: DecisionInput }): void;
  /** An order to the fleet that it took, or that failed. */
  ordered(order: Ordered): void;
  /** Decided too long ago to be ordered still: this process stood still in between. */
  outdated(decision: Decision): void;
  /** A fleet that nobody had asked for anything was brought to where its pool stood. */
  restored(order: { pool: string; desired: number; error: Error | undefined }): void;
  /** Decisions will be blind for it. */
  inputMissing(missing: MissingInput): void;
  /** Decisions were made and acted upon, and will never be in the record: the event log took none for too long. */
  decisionsLost(decisions: number): void;
  /** The pool has lost its policy, or belongs to another process. */
  forgotten(pool: string): void;
}

interface Ordered {
  decision: Decision;
  error: Error | undefined;
}

export interface AutoscalerOptions {
  log: Pick<EventLog, 'append'>;
  reader: DemandReader;
  forecasts: LatestForecasts;
  policies: PolicyCache;
  fleet: Pick<Fleet, 'scale'>;
  fleetViews: FleetViews;
  means: MeanLoads;
  recorded: RecordedDecisions;
  settingsOf(pool: string): ScaledPool;
  observer: AutoscalerObserver;
  nowMs(): number;
  /** Never goes back, ms from any start; default: the process's. */
  uptimeMs?: () => number;
  /** Of the decisions that wait for the event log; default 32 MiB. */
  maxWaitingBytes?: number;
}

/** Decisions made between two turns of the event loop, some milliseconds' worth. */
const POOLS_PER_TURN = 100;
/** Pools whose last decisions are read back in one run. */
const MAX_OPENED_PER_RUN = 200;
/** An order is given within this time of its decision, or not at all: a process that was paused may have an heir. */
const ORDER_WITHIN_MS = 5_000;
/** What did not answer, when the event log takes no decisions. */
const RECORD = 'event log: the record of decisions';

/** A decision, and what it is ordered by. */
interface Made {
  record: DecisionRecord;
  policy: Policy;
  fleet: FleetView | undefined;
  decidedUptimeMs: number;
}

/** Every pool with a policy whose demand and forecasts are read here: gather → decide → record → apply. */
export class Autoscaler {
  /** Of the pools that were opened. */
  private readonly memories = new Map<string, DecisionMemory | undefined>();
  private readonly recording: DecisionRecording;
  private running: Promise<void> = Promise.resolve();
  /** Counts how often pools were lost: what was read of one before may be old. */
  private losses = 0;

  constructor(private readonly options: AutoscalerOptions) {
    const { log, observer, maxWaitingBytes } = options;
    const lost = (decisions: number) => observer.decisionsLost(decisions);
    this.recording = new DecisionRecording({ log, lost, maxWaitingBytes });
  }

  /** Brings the fleets that nobody has asked for anything to where they stood; at least to each policy's minimum. */
  async restoreFleets(): Promise<void> {
    const rows = this.ownRows().filter((row) => this.hasFleet(row));
    await this.open(rows.map(({ pool }) => pool));
    await Promise.all(rows.map((row) => this.fleetOf(row)));
  }

  run(): Promise<void> {
    const run = this.decideAll();
    this.running = run.catch(() => undefined);
    return run;
  }

  /** Pools that are decided for here. */
  pools(): string[] {
    return [...this.memories.keys()];
  }

  /**
   * Forgets the pools that are no longer read here; resolves when their last decisions are recorded and ordered, as far
   * as log and fleet answer.
   */
  async letGo(): Promise<void> {
    this.losses += 1;
    const lost = this.pools().filter((pool) => !this.owns(pool));
    for (const pool of lost) this.forget(pool);
    await this.running;
    // The run that was under way may have decided for them before.
    for (const pool of lost) this.recording.release(pool);
    await within(this.recording.send(), RECORD).catch(() => undefined);
  }

  private async decideAll(): Promise<void> {
    const { reader, nowMs } = this.options;
    // The clock first: what happens while the answer is on its way is not counted.
    const askedAtMs = nowMs();
    const behindMs = await inTime(reader.behindMs(), {
      what: 'event log: how far behind its readers are',
      missing: (error) => this.options.observer.inputMissing({ input: 'event-log', error }),
    });
    const countedToMs = behindMs === undefined ? undefined : askedAtMs - behindMs;
    const rows = await this.openedRows();
    const fleets = await Promise.all(rows.map((row) => this.fleetOf(row)));
    const made: Made[] = [];
    for (const [i, row] of rows.entries()) {
      if (i % POOLS_PER_TURN === POOLS_PER_TURN - 1) await nextTurn();
      // It may have been lost meanwhile.
      if (this.memories.has(row.pool) && this.owns(row.pool))
        made.push(this.decideFor(row, { fleet: fleets[i], countedToMs }));
    }
    // An order without a record would be left behind by a kill; but a log that is away must not stop the orders.
    const recorded = within(this.recording.record(made.map(({ record }) => record)), RECORD);
    await recorded.catch(() => undefined);
    await Promise.all(made.map((each) => this.apply(each)));
    await recorded;
  }

  /** Pools that were opened, some more each run. Those that lost their policy are forgotten. */
  private async openedRows(): Promise<PolicyRow[]> {
    const rows = this.ownRows();
    const pools = new Set(rows.map(({ pool }) => pool));
    for (const pool of this.memories.keys()) if (!pools.has(pool)) this.forget(pool);
    const closed = [...pools].filter((pool) => !this.memories.has(pool));
    await this.open(closed.slice(0, MAX_OPENED_PER_RUN));
    return rows.filter(({ pool }) => this.memories.has(pool));
  }

  private ownRows(): PolicyRow[] {
    return this.options.policies.all().filter(({ pool }) => this.owns(pool));
  }

  private owns(pool: string): boolean {
    const { reader, forecasts } = this.options;
    return reader.owns(pool) && forecasts.owns(pool);
  }

  private forget(pool: string): void {
    this.memories.delete(pool);
    this.recording.release(pool);
    this.options.means.forget(pool);
    if (this.options.policies.get(pool) === undefined) this.options.reader.letGo(pool);
    this.options.observer.forgotten(pool);
  }

  private hasFleet({ pool }: PolicyRow): boolean {
    return this.options.settingsOf(pool).hasFleet;
  }

  private async fleetOf(row: PolicyRow): Promise<FleetView | undefined> {
    if (!this.hasFleet(row)) return this.assumedFleet(row);
    const observed = await this.options.fleetViews.observed(row.pool);
    if (observed === undefined) return undefined;
    return observed.ordered ? viewOf(observed) : this.restored(row, viewOf(observed));
  }

  /** A fleet that has just started, and knows nothing of the number that was decided before. */
  private async restored({ pool, policy }: PolicyRow, fresh: FleetView): Promise<FleetView> {
    const { fleet, observer } = this.options;
    const { minWorkers, maxWorkers } = policy.bounds;
    // In mode observe the record says what would have been ordered, not what was.
    const last = policy.mode === 'observe' ? 0 : (this.memories.get(pool)?.lastDesired ?? 0);
    const desired = Math.min(Math.max(last, minWorkers), maxWorkers);
    const error = await failureOf(within(fleet.scale({ pool, desired }), `fleet: an order for pool ${pool}`));
    observer.restored({ pool, desired, error });
    return error === undefined ? { ...fresh, desired, starting: desired } : fresh;
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
  ): Made {
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
    observer.decided({ decision, input });
    const record: DecisionRecord = { v: 1, decision, memory, policyVersion: version };
    return { record, policy, fleet: seen.fleet, decidedUptimeMs: this.uptimeMs() };
  }

  private async apply({ record: { decision }, policy, fleet: seen, decidedUptimeMs }: Made): Promise<void> {
    const { fleet, observer } = this.options;
    if (seen === undefined || seen.assumed || policy.mode === 'observe' || decision.desired === seen.desired)
      return;
    if (this.uptimeMs() - decidedUptimeMs > ORDER_WITHIN_MS) return observer.outdated(decision);
    const what = `fleet: an order for pool ${decision.pool}`;
    observer.ordered({ decision, error: await failureOf(within(fleet.scale(decision), what)) });
  }

  private uptimeMs(): number {
    return (this.options.uptimeMs ?? (() => performance.now()))();
  }

  private demandOf(pool: string, allCountedToMs: number): DemandView {
    const { reader, settingsOf, means } = this.options;
    const { bucketS, seasonsS, settleMs, sampledBy = [] } = settingsOf(pool);
    const series = reader.of(pool) ?? newDemandSeries({ bucketS, seasonS: seasonsS[0] as number });
    const countedToMs = Math.min(allCountedToMs - settleMs, sampledToMs(sampledBy, series.chains));
    means.follow(pool, series, bucketStartMs(countedToMs, bucketS));
    return demandView({ countedToMs, sampledBy }, series);
  }

  /** Takes up pools where their last recorded decisions left them. */
  private async open(pools: string[]): Promise<void> {
    const { losses } = this;
    if (pools.length === 0) return;
    const latest = await this.options.recorded.latestOf(pools);
    // Whoever has lost a pool meanwhile opens it anew: another owner may have gone on.
    if (this.losses !== losses) return;
    for (const pool of pools) this.memories.set(pool, latest.get(pool)?.memory);
  }
}

async function failureOf(work: Promise<void>): Promise<Error | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
