import type { DynamicModule } from '@nestjs/common';
import type { Route } from '#adapters/http-api';
import { AUTOSCALER_ROUTES } from '../autoscaler/routes.js';
import { AutoscalerModule } from '../autoscaler/autoscaler.module.js';
import { ForecasterModule } from '../forecaster/forecaster.module.js';
import { EVENT_ROUTES, HISTORY_ROUTES, IngestModule, WEBHOOK_ROUTES } from '../ingest/index.js';
import { RouterModule } from '../router/router.module.js';
import type { Parts } from './parts.js';
import { SourcesModule } from './sources.module.js';

/** One service of the program. */
export interface Target {
  /** What it does, for `headroom start --help`. */
  summary: string;
  /** Targets that start before it and stop after it, when both are asked for. */
  after: readonly TargetName[];
  module(parts: Parts): DynamicModule;
  routes: readonly Route[];
}

export const TARGET_NAMES = ['ingest', 'forecaster', 'autoscaler', 'router', 'sources'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

/**
 * The program as a table. All of them need the store and the event log, which live in one data directory: on the
 * embedded parts the targets of one directory run in one process.
 *
 *   sources ─▶ router ─▶ executions.v1 ─▶ ingest ─▶ demand.v1 ─▶ forecaster ─▶ forecasts.v1 ─▶ autoscaler ─▶ fleet
 */
export const TARGETS: Record<TargetName, Target> = {
  ingest: {
    summary: 'execution events → demand; POST /v1/events, /v1/webhooks',
    after: [],
    module: ({ forIngest }) => IngestModule.register(forIngest()),
    routes: [...EVENT_ROUTES, ...WEBHOOK_ROUTES, ...Object.values(HISTORY_ROUTES)],
  },
  forecaster: {
    summary: 'demand → forecasts',
    after: ['ingest'],
    module: ({ forForecaster }) => ForecasterModule.register(forForecaster()),
    routes: [],
  },
  autoscaler: {
    summary: 'demand + forecasts → decisions → workers; /v1/policies, /v1/pools',
    after: ['ingest', 'forecaster'],
    module: ({ forAutoscaler }) => AutoscalerModule.register(forAutoscaler()),
    routes: Object.values(AUTOSCALER_ROUTES),
  },
  router: {
    summary: 'requests → workers',
    after: ['autoscaler'],
    module: ({ forRouter }) => RouterModule.register(forRouter()),
    routes: [],
  },
  sources: {
    summary: 'the synthetic loads that the configuration declares',
    after: ['router'],
    module: ({ forSources }) => SourcesModule.register(forSources()),
    routes: [],
  },
};

/** Names as an operator writes them, e.g. `all` or `ingest,forecaster`. */
export function parseTargets(
  text: string,
): { ok: true; targets: TargetName[] } | { ok: false; problem: string } {
  const words = text.split(',').map((word) => word.trim());
  const wanted = words.includes('all') ? TARGET_NAMES : words;
  const unknown = words.find((word) => word !== 'all' && !isTarget(word));
  if (unknown !== undefined) {
    return {
      ok: false,
      problem: `--target: must be all or of ${TARGET_NAMES.join(', ')}, got ${unknown || 'nothing'}`,
    };
  }
  return { ok: true, targets: TARGET_NAMES.filter((name) => wanted.includes(name)) };
}

function isTarget(word: string): word is TargetName {
  return (TARGET_NAMES as readonly string[]).includes(word);
}

/**
 * The modules of the targets, each importing those it comes after: Nest starts the deepest first and stops in exactly
 * the reverse order.
 */
export function modulesOf(targets: readonly TargetName[], parts: Parts): DynamicModule[] {
  const made = new Map<TargetName, DynamicModule>();
  for (const name of targets) {
    const own = TARGETS[name].module(parts);
    const before = TARGETS[name].after.flatMap((other) => made.get(other) ?? []);
    made.set(name, { ...own, imports: [...(own.imports ?? []), ...before] });
  }
  return [...made.values()];
}
