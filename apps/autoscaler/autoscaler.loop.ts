import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { Downtime } from '#adapters/demand-reader';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { DecisionStore } from '#adapters/store';
import { Autoscaler } from './autoscaler.js';
import type { MeanLoads } from './mean-loads.js';
import { PolicyCache } from './policy-cache.js';

/** How often every pool that is owned here is decided. */
const PERIOD_MS = 500;
const TIMEOUT_MS = 20_000;
/** A policy that another process has changed is decided by after this time, and a period, at the latest. */
const POLICIES_PERIOD_MS = 2_000;
/** How often pools are looked for whose mean load is not known. */
const MEAN_LOADS_PERIOD_MS = 1_000;
const RETENTION_PERIOD_MS = 300_000;
/** Decisions are kept this long; the newest of each pool with a policy always. */
export const DECISIONS_KEPT_MS = 7 * 86_400_000;

@Injectable()
export class AutoscalerLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loops: Loop[];

  constructor(
    private readonly autoscaler: Autoscaler,
    private readonly policies: PolicyCache,
    private readonly given: {
      means: MeanLoads;
      downtime: Downtime;
      store: Pick<DecisionStore, 'retain'>;
      observer: LoopObserver;
      periodMs?: number | undefined;
    },
  ) {
    const { means, store, observer, periodMs = PERIOD_MS } = given;
    const loop = (
      name: string,
      everyMs: number,
      timeoutMs: number,
      run: (signal: AbortSignal) => Promise<void>,
    ) => new Loop({ name, periodMs: everyMs, timeoutMs, run, observer });
    this.loops = [
      loop('decide', periodMs, TIMEOUT_MS, () => autoscaler.run()),
      loop('mean-loads', MEAN_LOADS_PERIOD_MS, TIMEOUT_MS, (signal) =>
        means.read(autoscaler.pools(), signal),
      ),
      loop('policies', POLICIES_PERIOD_MS, TIMEOUT_MS, () => policies.refresh()),
      loop('decision-retention', RETENTION_PERIOD_MS, RETENTION_PERIOD_MS, () => store.retain()),
    ];
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.policies.refresh();
    await this.given.downtime.end();
    await this.autoscaler.restoreFleets();
    for (const loop of this.loops) loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
  }
}
