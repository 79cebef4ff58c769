import { expertsOf } from './experts/experts.js';
import type { Expert, Outlook } from './experts/outlook.js';
import { LEVELS } from './forecast.js';
import { meanUpTo } from './history.js';
import { rowLayout, type ForecastMemory, type HorizonMemory, type RowLayout } from './memory.js';
import { layoutOf, type ForecastSettings, type Layout } from './settings.js';
import { rootAtLevel, unitAt } from './spread.js';

/** What one call needs besides memory: derived from settings, and room to compute in. */
export interface Stage {
  settings: ForecastSettings;
  layout: Layout;
  experts: Expert[];
  /** Of the experts, the external one last. */
  names: string[];
  row: RowLayout;
  /** Per horizon: what was issued last. */
  issued: Issued[];
  /** Per expert. */
  losses: Float64Array;
}

export interface Issued {
  weights: Float64Array;
  /** √arrivals at LEVELS. */
  roots: Float64Array;
}

export function newStage(settings: ForecastSettings): Stage {
  const layout = layoutOf(settings);
  const experts = expertsOf(layout);
  const names = experts.map(({ name }) => name);
  if (settings.external !== undefined) names.push(settings.external);
  const newIssued = () => ({
    weights: new Float64Array(names.length),
    roots: new Float64Array(LEVELS.length),
  });
  return {
    settings,
    layout,
    experts,
    names,
    row: rowLayout({ experts: names.length, external: settings.external !== undefined }),
    issued: layout.steps.map(newIssued),
    losses: new Float64Array(names.length),
  };
}

/** Where the row of an origin begins in {@link HorizonMemory.pending}. */
export function rowAt({ steps }: HorizonMemory, origin: number, { width }: RowLayout): number {
  return (origin % steps) * width;
}

export function outlookAt(
  origin: number,
  horizon: HorizonMemory,
  outlook: { layout: Layout; memory: ForecastMemory },
): Outlook {
  const { layout, memory } = outlook;
  return {
    history: memory.history,
    origin,
    steps: horizon.steps,
    windows: layout.windows,
    level: meanUpTo(memory.history, { last: origin, buckets: layout.windows.level }),
    holt: memory.holt,
    ridge: horizon.ridge,
  };
}

/** √arrivals that an expert expects at level number `level`; its row of pending forecasts begins at `row`. */
export function expertRoot(
  horizon: HorizonMemory,
  { expert, level, row, external }: { expert: number; level: number; row: number; external: number },
): number {
  if (isExternal(horizon, expert)) return horizon.pending[row + external + level] as number;
  return rootAtLevel(horizon.spread, { expert, level, point: horizon.pending[row + expert] as number });
}

const QUARTILES = [LEVELS.indexOf(0.25), LEVELS.indexOf(0.75)] as const;
/** Between its quartiles a Laplace distribution is this many mean errors wide. */
const QUARTILE_ERRORS = 2 * Math.LN2;

/** The mean error an expert expects of itself, in √arrivals. */
export function expertUnit(
  horizon: HorizonMemory,
  { expert, row, external }: { expert: number; row: number; external: number },
): number {
  if (!isExternal(horizon, expert)) {
    return unitAt(horizon.spread, { expert, point: horizon.pending[row + expert] as number });
  }
  const [low, high] = QUARTILES.map((level) => horizon.pending[row + external + level] as number);
  return ((high as number) - (low as number)) / QUARTILE_ERRORS;
}

function isExternal({ spread }: HorizonMemory, expert: number): boolean {
  return expert >= spread.sizes.length;
}
