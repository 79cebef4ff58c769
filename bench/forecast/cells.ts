import { headroomForecasts, MIXTURE, type HeadroomForecasts } from './headroom-forecasts.js';
import { LAST_VALUE, opponentForecasts, RAW_SEASONAL_NAIVE } from './opponents/opponents.js';
import type { PeerForecasts } from './peers.js';
import { fillFrom, type QuantileRows } from './quantile-rows.js';
import {
  COVERED_LEVELS,
  coverageOf,
  maseOf,
  naiveError,
  rowsWith,
  wqlOf,
  type Coverage,
  type Target,
} from './scores.js';
import { dayOf, type Part, type Series } from './series.js';

/** Who made a forecast: one of the domain's experts, all of them together, or somebody else. */
export type Kind = 'expert' | 'mixture' | 'opponent' | 'peer';

/** One method on one series at one horizon. */
export interface Cell {
  series: string;
  horizonS: number;
  method: string;
  kind: Kind;
  wql: number;
  /** Its WQL ÷ that of the raw seasonal naive, on the same buckets. */
  ratio: number;
  /** The mixture's WQL ÷ its own, on the same buckets. */
  mixtureRatio: number;
  mase: number;
  coverage: Coverage[];
  /** From every so many origins. */
  every: number;
  /** Buckets that it had no forecast of, and that the last value's stand in for; a share. */
  filled: number;
  /** One origin, all horizons; undefined: part of the mixture's. */
  msPerForecast: number | undefined;
}

interface Method {
  name: string;
  kind: Kind;
  rows: QuantileRows[];
  every: number;
  msPerForecast: number | undefined;
}

const BLOCK_S = 6 * 3600;
const RESAMPLES = 500;
export const SEED = 1;

/** All methods on one part of a series. */
export function cellsOf(
  series: Series,
  part: Part,
  peers: readonly PeerForecasts[],
): { cells: Cell[]; own: HeadroomForecasts } {
  const own = headroomForecasts(series, part);
  const methods = methodsOf(own, opponentForecasts(series, part), peers);
  const actual = series.values.subarray(part.first, part.end);
  const filled = methods.map((method) => fillIn(method, methods));
  const cells = methods.flatMap((method, i) =>
    series.steps.map((_, horizon) =>
      cellOf(method, {
        series,
        part,
        horizon,
        actual,
        methods,
        filled: (filled[i] as number[])[horizon] as number,
      }),
    ),
  );
  return { cells, own };
}

function methodsOf(
  own: HeadroomForecasts,
  opponents: ReturnType<typeof opponentForecasts>,
  peers: readonly PeerForecasts[],
): Method[] {
  return [
    ...[...own.methods].map(([name, rows]): Method => {
      const isMixture = name === MIXTURE;
      const msPerForecast = isMixture ? own.msPerForecast : undefined;
      return { name, rows, kind: isMixture ? 'mixture' : 'expert', every: 1, msPerForecast };
    }),
    ...opponents.map((opponent): Method => ({ ...opponent, kind: 'opponent', every: 1 })),
    ...peers.map((peer): Method => ({ ...peer, kind: 'peer' })),
  ];
}

interface CellSetting {
  series: Series;
  part: Part;
  horizon: number;
  actual: Float64Array;
  methods: readonly Method[];
  filled: number;
}

/** Who speaks only now and then is scored where it speaks; of all others every bucket counts. Returns how many were filled. */
function fillIn({ rows, every }: Method, methods: readonly Method[]): number[] {
  if (every > 1) return rows.map(() => 0);
  const last = methods.find(({ name }) => name === LAST_VALUE)?.rows ?? [];
  return rows.map((own, horizon) => fillFrom(own, last[horizon] as QuantileRows));
}

function cellOf(method: Method, { series, part, horizon, actual, methods, filled }: CellSetting): Cell {
  const rowsBy = (name: string) => methods.find((one) => one.name === name)?.rows[horizon] as QuantileRows;
  const rows = method.rows[horizon] as QuantileRows;
  const steps = series.steps[horizon] as number;
  const target: Target = { actual, counts: method.every > 1 ? rowsWith(rows) : () => true };
  const wql = wqlOf(rows, target);
  return {
    series: series.name,
    horizonS: steps * series.bucketS,
    method: method.name,
    kind: method.kind,
    wql,
    ratio: wql / wqlOf(rowsBy(RAW_SEASONAL_NAIVE), target),
    mixtureRatio: wqlOf(rowsBy(MIXTURE), target) / wql,
    mase: maseOf(rows, target, naiveError(series.values, { lag: dayOf(series), before: part.first })),
    coverage: COVERED_LEVELS.map((level) =>
      coverageOf(rows, { ...target, level }, bootstrapOf(series, steps)),
    ),
    every: method.every,
    filled: filled / actual.length,
    msPerForecast: method.msPerForecast,
  };
}

/** Blocks of six hours, or of two horizons where those are longer. */
function bootstrapOf({ bucketS }: Series, steps: number) {
  const blockBuckets = Math.round(Math.max(BLOCK_S, 2 * steps * bucketS) / bucketS);
  return { blockBuckets, resamples: RESAMPLES, seed: SEED };
}
