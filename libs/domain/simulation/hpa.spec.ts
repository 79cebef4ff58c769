import { describe, expect, test } from '@jest/globals';
import { HPA_DEFAULTS, hpaStep, type HpaMemory, type HpaSettings } from './hpa.js';

const SETTINGS: HpaSettings = { ...HPA_DEFAULTS, targetPerWorker: 10, minWorkers: 1, maxWorkers: 100 };

/** Steps an HPA whose wish is granted at once. */
function hpa(workers: number, changes: Partial<HpaSettings> = {}) {
  const settings = { ...SETTINGS, ...changes };
  let memory: HpaMemory | undefined;
  return (nowS: number, metric: number | undefined) => {
    const step = hpaStep({ nowS, metric, workers }, settings, memory);
    ({ desired: workers, memory } = step);
    // What is remembered survives being stored.
    memory = memory.lastSyncS === -Infinity ? memory : (JSON.parse(JSON.stringify(memory)) as HpaMemory);
    return workers;
  };
}

describe('the HPA rule', () => {
  test('asks for ceil(metric ÷ target)', () => {
    expect(hpa(4)(0, 56)).toBe(6);
  });

  test('keeps the number within 10 % of the target, in both directions', () => {
    const at = hpa(10);
    expect(at(0, 109)).toBe(10);
    expect(at(15, 91)).toBe(10);
    expect(at(30, 111)).toBe(12);
  });

  test('answers anew every 15 s', () => {
    const at = hpa(4);
    expect([at(0, 40), at(5, 80), at(14.9, 80), at(15, 80)]).toEqual([4, 4, 4, 8]);
  });

  test('at most 4 workers or twice as many in 15 s, whichever is more', () => {
    const at = hpa(1);
    expect([at(0, 1000), at(15, 1000), at(30, 1000), at(45, 1000), at(60, 1000), at(75, 1000)]).toEqual([
      5, 10, 20, 40, 80, 100,
    ]);
  });

  test('the period counts what was added and removed within it', () => {
    const scaleUp = {
      stabilisationS: 0,
      policies: [{ kind: 'workers' as const, value: 4, periodS: 60 }],
      select: 'max' as const,
    };
    const at = hpa(10, { scaleUp });
    expect([at(0, 1000), at(15, 1000), at(45, 1000), at(60, 1000)]).toEqual([14, 14, 14, 18]);
  });

  test('scales in to the largest recommendation of the last 5 minutes', () => {
    const at = hpa(10);
    expect(at(0, 100)).toBe(10);
    expect(at(15, 60)).toBe(10);
    expect(at(285, 20)).toBe(10);
    // The 10 of second 0 has left the window; the 6 of second 15 has not.
    expect(at(300, 20)).toBe(6);
    expect(at(315, 20)).toBe(2);
  });

  test('with a scale-up window it takes the smallest recommendation', () => {
    const at = hpa(5, { scaleUp: { ...HPA_DEFAULTS.scaleUp, stabilisationS: 60 } });
    expect([at(0, 50), at(15, 100), at(45, 90), at(60, 100)]).toEqual([5, 5, 5, 9]);
  });

  test('scale-down policies: the largest change, the smallest, or none', () => {
    const policies = [
      { kind: 'workers' as const, value: 2, periodS: 15 },
      { kind: 'percent' as const, value: 50, periodS: 15 },
    ];
    const first = (select: 'max' | 'min' | 'disabled') =>
      hpa(10, { scaleDown: { stabilisationS: 0, policies, select } })(0, 10);
    expect([first('max'), first('min'), first('disabled')]).toEqual([5, 8, 10]);
    const up = (select: 'min' | 'disabled') =>
      hpa(10, { scaleUp: { ...HPA_DEFAULTS.scaleUp, select } })(0, 900);
    expect([up('min'), up('disabled')]).toEqual([14, 10]);
    expect(hpa(10, { scaleDown: { stabilisationS: 0, policies: [], select: 'max' } })(0, 10)).toBe(10);
  });

  test('outside the bounds it goes to them, whatever the metric; zero is left to others', () => {
    expect(hpa(200)(0, 5000)).toBe(100);
    expect(hpa(2, { minWorkers: 3 })(0, 5000)).toBe(3);
    expect(hpa(0)(0, 5000)).toBe(0);
    expect(hpa(0, { minWorkers: 0 })(0, 30)).toBe(3);
    expect(hpa(5, { scaleDown: { ...HPA_DEFAULTS.scaleDown, stabilisationS: 0 } })(0, 0)).toBe(1);
  });

  test('a metric that cannot be read changes nothing', () => {
    expect(hpa(7)(0, undefined)).toBe(7);
  });
});
