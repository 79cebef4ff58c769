import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { Downtime } from '#adapters/demand-reader';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { ForecastStore } from '#adapters/store';
import { ForecastThread } from './forecast-thread.js';
import type { Forecaster } from './forecaster.js';
import type { PoolsWithPolicy } from './pools-with-policy.js';

/** How often closed buckets are looked for. */
const PERIOD_MS = 100;
const TIMEOUT_MS = 70_000;
/** A pool that has got a policy is forecast after this time at the latest. */
const POLICIES_PERIOD_MS = 2_000;
const POLICIES_TIMEOUT_MS = 20_000;
const RETENTION_PERIOD_MS = 300_000;

/** How long the forecasts of a pool are kept, seconds: its longest season. */
export function forecastsKeptS({ seasonsS }: { seasonsS: readonly number[] }): number {
  return Math.max(...seasonsS);
}

@Injectable()
export class ForecasterLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loops: Loop[];
  constructor(
    forecaster: Forecaster,
    private readonly thread: ForecastThread,
    private readonly given: {
      policies: PoolsWithPolicy;
      downtime: Downtime;
      store: Pick<ForecastStore, 'retain'>;
      observer: LoopObserver;
    },
  ) {
    const { policies, store, observer } = given;
    this.loops = [
      new Loop({
        name: 'forecast',
        periodMs: PERIOD_MS,
        timeoutMs: TIMEOUT_MS,
        run: () => forecaster.run(),
        observer,
      }),
      new Loop({
        name: 'forecast-policies',
        periodMs: POLICIES_PERIOD_MS,
        timeoutMs: POLICIES_TIMEOUT_MS,
        run: () => policies.refresh(),
        observer,
      }),
      new Loop({
        name: 'forecast-retention',
        periodMs: RETENTION_PERIOD_MS,
        timeoutMs: RETENTION_PERIOD_MS,
        run: (signal) => store.retain(signal),
        observer,
      }),
    ];
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.given.downtime.end();
    await this.given.policies.refresh();
    for (const loop of this.loops) loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
    await this.thread.close();
  }
}
