import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { DemandStore } from '#adapters/store';
import type { PoolSettings } from './pool-registry.js';

/** History that is kept, in longest seasons of the pool: the seven of a trailing mean, and the one under way. */
const KEPT_SEASONS = 8;
const MIN_KEPT_S = 7_200;
/** Rows of one pool, unless events may be so late that more are needed. */
const MAX_KEPT_ROWS = 2_000_000;

const PERIOD_MS = 60_000;
const TIMEOUT_MS = 50_000;

/** The times within which events still change buckets. */
export interface Lateness {
  dedupeWindowS: number;
  maxExecutionS: number;
}

/**
 * How much of a pool's demand the table keeps, seconds. Always as much as events may be late: one that came for a bucket
 * that was dropped would leave its part behind as the whole.
 */
export function keptS({ bucketS, seasonsS }: PoolSettings, late: Lateness): number {
  const wantedS = Math.max(MIN_KEPT_S, KEPT_SEASONS * Math.max(...seasonsS));
  return Math.max(
    Math.min(wantedS, MAX_KEPT_ROWS * bucketS),
    late.maxExecutionS + late.dedupeWindowS + bucketS,
  );
}

/** Drops demand that is older than anybody reads, and all that is left of pools that have neither policy nor demand. */
export class RetentionLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loop: Loop;

  constructor(
    private readonly given: {
      demand: Pick<DemandStore, 'retain'>;
      observer: LoopObserver;
    },
  ) {
    const { observer } = given;
    const run = (signal: AbortSignal) => this.run(signal);
    this.loop = new Loop({
      name: 'demand-retention',
      periodMs: PERIOD_MS,
      timeoutMs: TIMEOUT_MS,
      run,
      observer,
    });
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  /** One round; stops between two statements when told to. */
  async run(signal: AbortSignal): Promise<void> {
    await this.given.demand.retain(signal);
  }
}
