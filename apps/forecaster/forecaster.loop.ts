import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { ForecastStore } from '#adapters/store';
import { ForecastThread } from './forecast-thread.js';
import type { Forecaster } from './forecaster.js';

/** How often closed buckets are looked for. */
const PERIOD_MS = 100;
const TIMEOUT_MS = 70_000;
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
    store: Pick<ForecastStore, 'retain'>,
    observer: LoopObserver,
  ) {
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
        run: (signal) => store.retain(signal),
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
