import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { PoolRegistry } from './pool-registry.js';

/** How long a pool may be known or unknown here after its policy was deleted or made elsewhere. */
const PERIOD_MS = 2_000;
const TIMEOUT_MS = 20_000;

/** Keeps the pools whose events count those that have a policy. */
export class PoolRegistryLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loop: Loop;

  constructor(registry: Pick<PoolRegistry, 'refresh'>, observer: LoopObserver) {
    const run = () => registry.refresh();
    this.loop = new Loop({
      name: 'pool-registry',
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
