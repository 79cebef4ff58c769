import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { SampledDemand } from './sampled-demand.js';

/** A bucket is a second at least. */
const PERIOD_MS = 1_000;
/** Longer than an answer may take. */
const TIMEOUT_MS = 30_000;

/** Asks other systems for the buckets that have closed, each by itself: one that does not answer holds up no other. */
export class SampledDemandLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loops: Loop[];

  constructor(systems: readonly SampledDemand[], observer: LoopObserver) {
    this.loops = systems.map((sampled) => {
      const run = (signal: AbortSignal) => sampled.run(signal);
      return new Loop({
        name: 'sampled-demand',
        periodMs: PERIOD_MS,
        timeoutMs: TIMEOUT_MS,
        run,
        observer,
      });
    });
  }

  onApplicationBootstrap(): void {
    for (const loop of this.loops) loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
  }
}
