import { describe, expect, test } from '@jest/globals';
import { createRandom } from '#domain/simulation';
import { forecastStep } from './forecast-step.js';
import { LEVELS } from './forecast.js';
import { newForecastMemory } from './memory.js';
import { opinionsOf } from './opinions.js';
import type { ForecastSettings } from './settings.js';

const settings: ForecastSettings = { pool: 'p', bucketS: 60, seasonsS: [6000], horizonsS: [60, 300] };

function closedBuckets(count: number) {
  const random = createRandom(3);
  return Array.from({ length: count }, (_, i) => ({
    startMs: i * 60_000,
    arrivals: Math.round(100 + 60 * Math.sin(i / 16) + 20 * random()),
  }));
}

describe('opinions', () => {
  test('average, by the weights and in √arrivals, to the levels that are not calibrated', () => {
    const memory = newForecastMemory(settings);
    const { output } = forecastStep({ settings, closed: closedBuckets(400) }, memory);
    const [first = []] = opinionsOf(settings, memory);
    const weights = output?.provenance.weights ?? {};
    expect(first.map(({ expert }) => expert)).toEqual(Object.keys(weights));
    LEVELS.forEach((level, i) => {
      if (level >= 0.9) return;
      const mean = first.reduce(
        (sum, { expert, values }) => sum + (weights[expert] as number) * Math.sqrt(values?.[i] ?? 0),
        0,
      );
      // Points wait for their outcome in single precision.
      expect(mean).toBeCloseTo(Math.sqrt(output?.horizons[0]?.values[i] as number), 4);
    });
  });

  test('are in order at every horizon, and undefined from whom knows no past season', () => {
    const memory = newForecastMemory(settings);
    forecastStep({ settings, closed: closedBuckets(90) }, memory);
    const opinions = opinionsOf(settings, memory);
    expect(opinions).toHaveLength(2);
    const saying = new Map(opinions[0]?.map(({ expert, values }) => [expert, values]));
    expect(saying.get('season-6000')).toBeUndefined();
    for (const { values = [] } of opinions.flat()) expect(values).toEqual(values.toSorted((a, b) => a - b));
    expect(saying.get('last')).toHaveLength(LEVELS.length);
  });

  test('change nothing', () => {
    const memory = newForecastMemory(settings);
    forecastStep({ settings, closed: closedBuckets(200) }, memory);
    const before = structuredClone(memory);
    opinionsOf(settings, memory);
    expect(memory).toEqual(before);
  });
});
