import { describe, expect, test } from '@jest/globals';
import { createRandom } from '#domain/simulation';
import { cellsOf } from './cells.js';
import { headroomForecasts, MIXTURE } from './headroom-forecasts.js';
import { opponentForecasts } from './opponents/opponents.js';
import { WIDTH } from './quantile-rows.js';
import { wqlOf } from './scores.js';
import { partOf, type Series } from './series.js';

const HOURS = 24;
/** Days of hours with a wave, noise, and a gap on the second day. */
function seriesOf(days: number): Series {
  const random = createRandom(5);
  const values = Float64Array.from({ length: days * HOURS }, (_, i) =>
    i >= 30 && i < 34 ? NaN : Math.round(50 + 40 * Math.sin((2 * Math.PI * i) / HOURS) + 20 * random()),
  );
  return {
    name: 'web_waves_1h',
    file: '',
    startMs: Date.UTC(2026, 0, 1),
    bucketS: 3600,
    values,
    steps: [1, 3, 6],
  };
}
const series = seriesOf(20);
const part = partOf(series, 'test');

describe('a series', () => {
  test('has its last third for the test, and the part before for choosing', () => {
    expect(part).toEqual({ first: Math.ceil(0.67 * 480), end: 480 });
    expect(partOf(series, 'validation')).toEqual({ first: 192, end: part.first });
  });

  test('what comes after a bucket changes no forecast made before it', () => {
    const changedFrom = part.first + 60;
    const changed = { ...series, values: series.values.map((y, i) => (i < changedFrom ? y : 7 * y + 1000)) };
    const all = (one: Series) => [
      ...headroomForecasts(one, part).methods,
      ...opponentForecasts(one, part).map(({ name, rows }) => [name, rows] as const),
    ];
    const after = new Map(all(changed));
    for (const [name, rows] of all(series)) {
      series.steps.forEach((steps, horizon) => {
        // The last origin that knows nothing of the change forecasts the bucket changedFrom − 1 + steps.
        const untouched = (changedFrom + steps - part.first) * WIDTH;
        const [before, now] = [rows[horizon], after.get(name)?.[horizon]] as [Float64Array, Float64Array];
        const differing = before.findIndex((value, i) => !Object.is(value, now[i]));
        expect([name, differing >= untouched]).toEqual([name, true]);
      });
    }
  });

  describe('is scored:', () => {
    const { rows } = opponentForecasts(series, part).find(({ name }) => name === 'last value')!;
    const sparse = rows.map((one) => one.map((value, i) => (Math.floor(i / WIDTH) % 7 === 0 ? value : NaN)));
    const peer = { name: 'sparse', every: 7, rows: sparse, msPerForecast: 1 };
    const { cells } = cellsOf(series, part, [peer]);
    const of = (method: string) => cells.filter((cell) => cell.method === method);

    test('every method, beside the mixture on the same buckets', () => {
      expect(cells.every(({ wql, mase }) => wql > 0 && mase > 0)).toBe(true);
      expect(of(MIXTURE).map(({ mixtureRatio }) => mixtureRatio)).toEqual([1, 1, 1]);
      expect(of('raw seasonal naive').map(({ ratio }) => ratio)).toEqual([1, 1, 1]);
      of('last value').forEach(({ ratio, mixtureRatio }, i) =>
        expect(ratio * mixtureRatio).toBeCloseTo(of(MIXTURE)[i]?.ratio as number, 12),
      );
      // Twenty of noise around a wave of forty: the last value is off by the wave as well.
      expect(of('last value')[2]?.mixtureRatio).toBeLessThan(0.5);
    });

    test('who forecasts from some origins only where it does, with all that it is compared with', () => {
      const [first] = of('sparse');
      const target = {
        actual: series.values.subarray(part.first, part.end),
        counts: (row: number) => row % 7 === 0,
      };
      const wql = wqlOf(rows[0] as Float64Array, target);
      expect(first).toMatchObject({ every: 7, filled: 0, wql });
      const mixture = headroomForecasts(series, part).methods.get(MIXTURE)?.[0] as Float64Array;
      expect(first?.mixtureRatio).toBe(wqlOf(mixture, target) / wql);
    });
  });
});
