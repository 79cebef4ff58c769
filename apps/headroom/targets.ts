import type { DynamicModule } from '@nestjs/common';
import type { Route } from '#adapters/http-api';
import { AUTOSCALER_ROUTES } from '../autoscaler/routes.js';
import { AutoscalerModule } from '../autoscaler/autoscaler.module.js';
import { FleetModule } from '../fleet/fleet.module.js';
import { FLEET_ROUTES } from '../fleet/routes.js';
import { ForecasterModule } from '../forecaster/forecaster.module.js';
import {
  DEAD_LETTER_ROUTES,
  EVENT_ROUTES,
  HISTORY_ROUTES,
  IngestModule,
  WEBHOOK_ROUTES,
} from '../ingest/index.js';
import { RouterModule } from '../router/router.module.js';
import type { Config } from './config.js';
import type { Need, Parts } from './parts.js';
import { SourcesModule } from './sources.module.js';

/** `workers`: no pool lacks every worker that was ordered. `members`: the fleet has said who may be chosen. */
export type Check = 'workers' | 'members';

/** One service of the program. */
export interface Target {
  /** What it does, for `headroom start --help`. */
  summary: string;
  /** Targets that start before it and stop after it, when both are asked for. */
  after: readonly TargetName[];
  /** The parts that it stands on. */
  needs: readonly Need[];
  /** What must be, besides its parts, for it to be ready. */
  checks: readonly Check[];
  module(parts: Parts): DynamicModule;
  routes: readonly Route[];
}

export const TARGET_NAMES = ['ingest', 'forecaster', 'fleet', 'autoscaler', 'router', 'sources'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

/**
 * The program as a table. Embedded, store and event log live in one data directory: its targets run in one process.
 *
 *   sources ─▶ router ─▶ executions.v1 ─▶ ingest ─▶ demand.v1 ─▶ forecaster ─▶ forecasts.v1 ─▶ autoscaler ─▶ fleet ─▶ router
 */
export const TARGETS: Record<TargetName, Target> = {
  ingest: {
    summary:
      'execution events → demand; POST /v1/events, /v1/webhooks, /v1/pools/<pool>/history; /v1/dead-letters',
    after: [],
    needs: ['store', 'log', 'event-sources'],
    checks: [],
    module: ({ forIngest }) => IngestModule.register(forIngest()),
    routes: [
      ...EVENT_ROUTES,
      ...WEBHOOK_ROUTES,
      ...Object.values(HISTORY_ROUTES),
      ...Object.values(DEAD_LETTER_ROUTES),
    ],
  },
  forecaster: {
    summary: 'demand → forecasts',
    after: ['ingest'],
    needs: ['store', 'log'],
    checks: [],
    module: ({ forForecaster }) => ForecasterModule.register(forForecaster()),
    routes: [],
  },
  fleet: {
    summary: 'hosts the local workers, for autoscalers and routers here and in other processes; /v1/fleet',
    after: ['ingest'],
    needs: ['fleet', 'workers'],
    checks: ['workers'],
    module: ({ forFleet }) => FleetModule.register(forFleet()),
    routes: Object.values(FLEET_ROUTES),
  },
  autoscaler: {
    summary: 'demand + forecasts → decisions → workers; /v1/policies, /v1/pools',
    after: ['ingest', 'forecaster', 'fleet'],
    needs: ['store', 'log', 'fleet'],
    checks: ['workers'],
    module: ({ forAutoscaler }) => AutoscalerModule.register(forAutoscaler()),
    routes: Object.values(AUTOSCALER_ROUTES),
  },
  router: {
    summary: 'requests → workers',
    after: ['fleet', 'autoscaler'],
    needs: ['log', 'fleet'],
    checks: ['members'],
    module: ({ forRouter }) => RouterModule.register(forRouter()),
    routes: [],
  },
  sources: {
    summary: 'the synthetic loads that the configuration declares',
    after: ['router'],
    needs: ['fleet'],
    checks: [],
    module: ({ forSources }) => SourcesModule.register(forSources()),
    routes: [],
  },
};

/** Targets that look at the workers, or order them. */
const USE_WORKERS: readonly TargetName[] = ['autoscaler', 'router', 'sources'];

export type ParsedTargets = { ok: true; targets: TargetName[] } | { ok: false; problem: string };

/**
 * Names as an operator writes them, e.g. `all` or `ingest,forecaster`. `all` is what the configuration leaves to this
 * process: not the fleet when that is another's.
 */
export function parseTargets(text: string, { fleet, pools }: Pick<Config, 'fleet' | 'pools'>): ParsedTargets {
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.find((word) => word !== 'all' && !isTarget(word));
  if (unknown !== undefined)
    return refused(`must be all or of ${TARGET_NAMES.join(', ')}, got ${unknown || 'nothing'}`);
  const isElsewhere = fleet.kind === 'remote';
  if (isElsewhere && words.includes('fleet'))
    return refused('fleet must host local workers, got fleet.kind remote');
  const all = TARGET_NAMES.filter((name) => !isElsewhere || name !== 'fleet');
  const wanted = words.includes('all') ? all : words;
  const targets = TARGET_NAMES.filter((name) => wanted.includes(name));
  const user = targets.find((name) => USE_WORKERS.includes(name));
  const hasWorkers = Object.values(pools).some(({ worker }) => worker.handlers !== undefined);
  if (user !== undefined && hasWorkers && !isElsewhere && !targets.includes('fleet'))
    return refused(`${user} must come with fleet, or fleet.kind be remote, got neither`);
  return { ok: true, targets };
}

function refused(problem: string): ParsedTargets {
  return { ok: false, problem: `--target: ${problem}` };
}

function isTarget(word: string): word is TargetName {
  return (TARGET_NAMES as readonly string[]).includes(word);
}

export function needsOf(targets: readonly TargetName[]): ReadonlySet<Need> {
  return new Set(targets.flatMap((name) => TARGETS[name].needs));
}

export function checksOf(targets: readonly TargetName[]): ReadonlySet<Check> {
  return new Set(targets.flatMap((name) => TARGETS[name].checks));
}

/**
 * The modules of the targets, in whatever order they are named, each importing those it comes after: Nest starts the
 * deepest first and stops in exactly the reverse order.
 */
export function modulesOf(targets: readonly TargetName[], parts: Parts): DynamicModule[] {
  const made = new Map<TargetName, DynamicModule>();
  const moduleOf = (name: TargetName): DynamicModule => {
    const known = made.get(name);
    if (known !== undefined) return known;
    const before = TARGETS[name].after.filter((other) => targets.includes(other)).map(moduleOf);
    const own = TARGETS[name].module(parts);
    const whole = { ...own, imports: [...(own.imports ?? []), ...before] };
    made.set(name, whole);
    return whole;
  };
  return targets.map(moduleOf);
}
