import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { forecastStep, type ClosedBucket } from './forecast-step.js';
import { forecastSchema, LEVELS, type Forecast } from './forecast.js';
import { MAX_SILENT_BUCKETS } from './issue.js';
import { newForecastMemory } from './memory.js';
import type { ForecastSettings } from './settings.js';

const SEASON = 20;
const settings: ForecastSettings = {
  pool: 'web',
  bucketS: 10,
  seasonsS: [10 * SEASON],
  // Not contiguous, one beyond the season.
  horizonsS: [10, 20, 50, 250],
};
const BUCKET_MS = settings.bucketS * 1000;

const closedFrom = (arrivals: (number | null)[], first = 0): ClosedBucket[] =>
  arrivals.map((count, i) => ({ startMs: (first + i) * BUCKET_MS, arrivals: count }));

/** Every forecast that is made when buckets close one by one. */
function forecastEach(closed: ClosedBucket[], given = settings): (Forecast | undefined)[] {
  const memory = newForecastMemory(given);
  return closed.map((bucket) => forecastStep({ settings: given, closed: [bucket] }, memory).output);
}

function forecastOnce(closed: ClosedBucket[], given = settings): Forecast | undefined {
  return forecastStep({ settings: given, closed }, newForecastMemory(given)).output;
}

const poison = fc.oneof(
  { weight: 6, arbitrary: fc.nat(200) },
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom(1e6, 1e13, Number.MAX_VALUE, Infinity, NaN, -1, 0.25) },
);
/** Runs, so that constants, long silences and bursts occur. */
const anySeries = fc
  .array(fc.tuple(poison, fc.integer({ min: 1, max: 30 }), fc.boolean()), { minLength: 1, maxLength: 8 })
  .map((runs) =>
    runs.flatMap(([value, length, noisy]) =>
      Array.from({ length }, (_, i) => (value === null || !noisy ? value : value * (1 + (i % 3)))),
    ),
  );

/** What is wrong with it, in words; one expectation per forecast would take longer than the forecasts. */
function flawsOf(forecast: Forecast): string[] {
  const weights = Object.values(forecast.provenance.weights);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const holds: Record<string, boolean> = {
    'weights are shares': weights.every((weight) => weight >= 0 && weight <= 1) && Math.abs(sum - 1) < 1e-9,
    'levels are LEVELS': forecast.horizons.every(({ levels }) => levels.join() === LEVELS.join()),
    'values are finite': forecast.horizons.every(({ values }) => values.every(Number.isFinite)),
    'values are in order, from 0 up': forecast.horizons.every(({ values }) =>
      values.every((value, i) => value >= (values[i - 1] ?? 0)),
    ),
  };
  return Object.keys(holds).filter((law) => !holds[law]);
}

function expectSound(forecast: Forecast): void {
  expect(flawsOf(forecast)).toEqual([]);
  expect(forecastSchema.safeParse(forecast).error).toBeUndefined();
}

describe('a forecast', () => {
  test('is sound whatever arrived: quantiles in order and ≥ 0, weights that sum to 1, no NaN', () => {
    fc.assert(
      fc.property(anySeries, (series) => {
        const forecasts = forecastEach(closedFrom(series)).filter((forecast) => forecast !== undefined);
        expect(forecasts.flatMap(flawsOf)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  test('is the same when buckets come one by one, in one call, or in pieces with a restart in between', () => {
    fc.assert(
      fc.property(anySeries, fc.nat(100), (series, cut) => {
        const closed = closedFrom(series);
        const each = forecastEach(closed).at(-1);
        expect(forecastOnce(closed)).toEqual(each);
        const { memory } = forecastStep(
          { settings, closed: closed.slice(0, cut) },
          newForecastMemory(settings),
        );
        // What it has seen already comes again, as it does when a reader starts from a store.
        const rest = closed.slice(Math.max(0, cut - 3));
        expect(forecastStep({ settings, closed: rest }, structuredClone(memory)).output).toEqual(each);
      }),
      { numRuns: 15 },
    );
  });

  test('does not know the future: what arrives after its origin changes no forecast made before', () => {
    fc.assert(
      fc.property(anySeries, anySeries, anySeries, (past, future, otherFuture) => {
        const seen = (series: (number | null)[]) => forecastEach(closedFrom(series)).slice(0, past.length);
        expect(seen([...past, ...future])).toEqual(seen([...past, ...otherFuture]));
      }),
      { numRuns: 10 },
    );
  });

  test('treats what lies between two buckets as missing, not as zero', () => {
    const before = closedFrom([5, 6, 7, 8]);
    const after = closedFrom([9], 7);
    const filled = forecastOnce(closedFrom([5, 6, 7, 8, null, null, null, 9]));
    expect(forecastOnce([...before, ...after])).toEqual(filled);
    expect(forecastOnce(closedFrom([5, 6, 7, 8, 0, 0, 0, 9]))).not.toEqual(filled);
  });

  test('carries its origin: the start of the last closed bucket, however the trace is aligned', () => {
    const closed = [1_000_003, 1_010_003].map((startMs) => ({ startMs, arrivals: 4 }));
    expect(forecastOnce(closed)).toMatchObject({
      v: 1,
      pool: 'web',
      bucketS: 10,
      originMs: 1_010_003,
      horizons: settings.horizonsS.map((horizonS) => ({ horizonS })),
      provenance: { historyBuckets: 2, state: 'reactive-only' },
    });
  });

  test('is not made from nothing: before the first bucket, and after a long silence', () => {
    expect(forecastOnce([])).toBeUndefined();
    expect(forecastOnce(closedFrom([null, null]))).toBeUndefined();
    const silence = Array.from({ length: MAX_SILENT_BUCKETS }, () => null);
    const forecasts = forecastEach(closedFrom([3, ...silence, 3]));
    expect(forecasts.map((forecast) => forecast !== undefined)).toEqual([
      true,
      ...silence.map((_, i) => i < MAX_SILENT_BUCKETS - 1),
      true,
    ]);
  });

  test('goes on after a gap longer than anything that is kept', () => {
    const wave = Array.from({ length: 3 * SEASON }, (_, i) => 50 + (i % SEASON));
    const closed = [...closedFrom(wave), ...closedFrom([7, 7, 7], 5_000_000)];
    const forecast = forecastOnce(closed) as Forecast;
    expectSound(forecast);
    expect(forecast.originMs).toBe(5_000_002 * BUCKET_MS);
    expect(forecast.provenance.weights[`season-${10 * SEASON}`]).toBe(0);
  });

  test('from a single bucket is wide around it', () => {
    const forecast = forecastOnce(closedFrom([100])) as Forecast;
    const { values } = forecast.horizons[0] as Forecast['horizons'][number];
    const [low, median, high] = [0.05, 0.5, 0.95].map(
      (level) => values[LEVELS.findIndex((l) => l === level)],
    );
    expect(median).toBeCloseTo(100, 0);
    // ±3.4 mean errors of √2 in √y: wider than a Poisson count of 100 (83 to 117) spreads.
    expect(low).toBeLessThan(60);
    expect(high).toBeGreaterThan(150);
  });

  test('is reactive-only for the first thirty buckets, then everybody speaks who can', () => {
    const wave = Array.from({ length: 90 }, (_, i) => 50 + 10 * Math.sin((2 * Math.PI * i) / SEASON));
    const forecasts = forecastEach(closedFrom(wave));
    const at = (bucket: number) => (forecasts[bucket - 1] as Forecast).provenance;
    expect(at(29)).toMatchObject({ state: 'reactive-only', historyBuckets: 29 });
    expect(at(29).weights).toMatchObject({ holt: 0, 'season-200': 0, 'shape-200': 0, ridge: 0 });
    expect(at(30).state).toBe('warm');
    expect(at(30).weights.ridge).toBe(0);
    expect(at(90).weights['season-200']).toBeGreaterThan(0.01);
    expect(at(90).weights.ridge).toBeGreaterThan(0);
  });

  test('of zeros is zero, and of a constant is that constant', () => {
    const at = (value: number) =>
      (forecastOnce(closedFrom(Array.from({ length: 300 }, () => value))) as Forecast).horizons;
    for (const { values } of at(0)) expect(values.at(-1)).toBeLessThan(0.1);
    for (const { values } of at(400)) {
      expect(values[0]).toBeGreaterThan(390);
      expect(values.at(-1)).toBeLessThan(410);
    }
  });
});

describe('settings', () => {
  test('that cannot be are a programming error', () => {
    const withSettings = (change: Partial<ForecastSettings>) => () =>
      newForecastMemory({ ...settings, ...change });
    expect(withSettings({ horizonsS: [15] })).toThrow('horizonsS: 1 to 10000 whole buckets of 10 s, got 15');
    expect(withSettings({ horizonsS: [0] })).toThrow(RangeError);
    expect(withSettings({ horizonsS: [200_000] })).toThrow(RangeError);
    expect(withSettings({ horizonsS: [] })).toThrow('horizonsS: at least one, got none');
    expect(withSettings({ bucketS: 0 })).toThrow('bucketS: > 0, got 0');
    expect(() => forecastOnce([...closedFrom([1]), { startMs: 1, arrivals: 1 }])).toThrow(
      'startMs: whole buckets from 0, got 1',
    );
  });

  test.each([
    { bucketS: 0.5, seasonsS: [30], horizonsS: [0.5, 1.5] },
    { bucketS: 600, seasonsS: [86_400, 604_800], horizonsS: [600, 1800] },
    { bucketS: 60, seasonsS: [], horizonsS: [60] },
    // Too long to keep, and too short to be one: left out.
    { bucketS: 1, seasonsS: [604_800, 1], horizonsS: [1] },
  ])('work at any bucket length, with any seasons: %j', (change) => {
    const given = { ...settings, ...change };
    const closed = Array.from({ length: 200 }, (_, i) => ({
      startMs: i * given.bucketS * 1000,
      arrivals: i % 60,
    }));
    const forecast = forecastOnce(closed, given) as Forecast;
    expectSound(forecast);
    expect(forecast.horizons.map(({ horizonS }) => horizonS)).toEqual(given.horizonsS);
  });

  test('bound the memory: it does not grow, and a pool of minutes takes less than 40 KB', () => {
    const minutes = { pool: 'p', bucketS: 60, seasonsS: [86_400], horizonsS: [60, 120, 180] };
    const bytes = (value: unknown): number => {
      if (ArrayBuffer.isView(value)) return value.byteLength;
      return typeof value === 'object' && value !== null
        ? Object.values(value).reduce<number>((sum, part) => sum + bytes(part), 0)
        : 8;
    };
    const memory = newForecastMemory(minutes);
    const before = bytes(memory);
    const closed = Array.from({ length: 500 }, (_, i) => ({ startMs: i * 60_000, arrivals: i % 100 }));
    expect(bytes(forecastStep({ settings: minutes, closed }, memory).memory)).toBe(before);
    expect(before).toBeLessThan(40_000);
  });
});

describe('an external expert', () => {
  const given = { ...settings, horizonsS: [10, 20], external: 'net' };
  /** Nobody here can foresee this one. */
  const arrivalsAt = (bucket: number) => 50 + ((bucket * 7919) % 101);
  const opinion = (origin: number, change = (value: number) => value) =>
    given.horizonsS.map((horizonS) => {
      const arrivals = arrivalsAt(origin + horizonS / 10);
      return { horizonS, values: LEVELS.map((_, i) => change(arrivals + (i - 4) / 10)) };
    });

  function run(buckets: number, change?: (value: number) => number): Forecast {
    const memory = newForecastMemory(given);
    let last: Forecast | undefined;
    for (let bucket = 0; bucket < buckets; bucket++) {
      const closed = closedFrom([arrivalsAt(bucket)], bucket);
      last = forecastStep({ settings: given, closed, external: opinion(bucket, change) }, memory).output;
    }
    return last as Forecast;
  }

  test('that knows better gets the weight', () => {
    expect(run(120).provenance.weights.net).toBeGreaterThan(0.9);
  });

  test('that knows nothing loses it', () => {
    expect(run(120, (value) => value * 3).provenance.weights.net).toBeLessThan(0.01);
  });

  test('has no vote when it is late, not numbers, or out of order', () => {
    expect(run(60, () => NaN).provenance.weights.net).toBe(0);
    expect(run(60, (value) => 1000 - value).provenance.weights.net).toBe(0);
    expect(forecastOnce(closedFrom([1, 2, 3]), given)?.provenance.weights.net).toBe(0);
  });

  test('may speak of an origin again, when its answer comes after the first forecast', () => {
    const memory = newForecastMemory(given);
    const closed = closedFrom(Array.from({ length: 60 }, (_, i) => arrivalsAt(i)));
    forecastStep({ settings: given, closed }, memory);
    const late = forecastStep({ settings: given, closed: [], external: opinion(59) }, memory).output;
    expect(late?.provenance.weights.net).toBeGreaterThan(0);
  });
});
