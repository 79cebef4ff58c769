import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { DecisionStore } from '#adapters/store';
import { Autoscaler } from './autoscaler.js';
import { PolicyCache } from './policy-cache.js';

/** How often every pool that is owned here is decided. */
const PERIOD_MS = 500;
const TIMEOUT_MS = 20_000;
/** A policy that another process has changed is decided by after this time, and a period, at the latest. */
const POLICIES_PERIOD_MS = 2_000;
const RETENTION_PERIOD_MS = 300_000;
/** Decisions are kept this long; the newest of each pool with a policy always. */
export const DECISIONS_KEPT_MS = 7 * 86_400_000;

@Injectable()
export class AutoscalerLoop implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly loops: Loop[];

  constructor(
    private readonly autoscaler: Autoscaler,
    private readonly policies: PolicyCache,
    given: { store: Pick<DecisionStore, 'retain'>; observer: LoopObserver },
  ) {
    const { store, observer } = given;
    const loop = (name: string, periodMs: number, timeoutMs: number, run: () => Promise<void>) =>
      new Loop({ name, periodMs, timeoutMs, run, observer });
    this.loops = [
      loop('decide', PERIOD_MS, TIMEOUT_MS, () => autoscaler.run()),
      loop('policies', POLICIES_PERIOD_MS, TIMEOUT_MS, () => policies.refresh()),
      loop('decision-retention', RETENTION_PERIOD_MS, RETENTION_PERIOD_MS, () => store.retain()),
    ];
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.policies.refresh();
    await this.autoscaler.restoreFleets();
    for (const loop of this.loops) loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
  }
}
