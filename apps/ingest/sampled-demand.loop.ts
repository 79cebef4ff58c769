import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { SampledDemand } from './sampled-demand.js';

/** A bucket is a second at least. */
const PERIOD_MS = 1_000;
/** Longer than an answer may take. */
const TIMEOUT_MS = 30_000;

/** Asks other systems for the buckets that have closed. */
export class SampledDemandLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loop: Loop;

  constructor(sampled: SampledDemand, observer: LoopObserver) {
    const run = (signal: AbortSignal) => sampled.run(signal);
    this.loop = new Loop({
      name: 'sampled-demand',
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
}
