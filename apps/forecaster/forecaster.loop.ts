import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import { ForecastStore } from '#adapters/store';
import { ForecastThread } from './forecast-thread.js';
import { Forecaster, type ForecastedPool } from './forecaster.js';

/** How often closed buckets are looked for. */
const PERIOD_MS = 100;
const TIMEOUT_MS = 70_000;
const RETENTION_PERIOD_MS = 300_000;
/** Forecasts are kept for this many of the pool's longest seasons. */
const KEPT_SEASONS = 1;

@Injectable()
export class ForecasterLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loops: Loop[];

  constructor(
    forecaster: Forecaster,
    private readonly thread: ForecastThread,
    store: ForecastStore,
    given: {
      observer: LoopObserver;
      pools: () => string[];
      settingsOf(pool: string): ForecastedPool;
      nowMs(): number;
    },
  ) {
    const { observer, pools, settingsOf, nowMs } = given;
    const dropOld = async () => {
      for (const pool of pools()) {
        const keptS = KEPT_SEASONS * (settingsOf(pool).seasonsS.at(-1) as number);
        await store.dropBefore({ pool, beforeMs: nowMs() - keptS * 1000 });
      }
    };
    this.loops = [
      new Loop({
        name: 'forecast',
        periodMs: PERIOD_MS,
        timeoutMs: TIMEOUT_MS,
        run: () => forecaster.run(),
        observer,
      }),
      new Loop({
        name: 'forecast-retention',
        periodMs: RETENTION_PERIOD_MS,
        timeoutMs: RETENTION_PERIOD_MS,
        run: dropOld,
        observer,
      }),
    ];
  }

  onApplicationBootstrap(): void {
    for (const loop of this.loops) loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
    await this.thread.close();
  }
}
