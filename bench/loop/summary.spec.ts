import { describe, expect, test } from '@jest/globals';
import type { FleetObserver } from '#adapters/fleet';
import type { CellResult } from './cell-result.js';
import { PaidTime } from './paid-time.js';
import type { System } from './setting.js';
import { meanOf, ratioOf } from './summary.js';

const cell = (system: System, seed: number, workerSeconds: number) =>
  ({ cell: { system, seed }, workerSeconds }) as CellResult;

describe('summaries over seeds', () => {
  test('a mean has its t interval, one value has none', () => {
    // Deviation 1, t(2) = 4.303: ± 4.303 / √3.
    const { middle, low, high } = meanOf([1, 2, 3]);
    expect(middle).toBe(2);
    expect(high).toBeCloseTo(2 + 4.303 / Math.sqrt(3), 9);
    expect(low).toBeCloseTo(2 - 4.303 / Math.sqrt(3), 9);
    expect(meanOf([5])).toEqual({ middle: 5, low: undefined, high: undefined, seeds: 1 });
  });

  test('ratios are paired by seed; a seed that one system lacks is left out', () => {
    const results = [cell('a', 1, 2), cell('b', 1, 4), cell('a', 2, 8), cell('b', 2, 4), cell('a', 3, 1)];
    const figure = ({ workerSeconds }: CellResult) => workerSeconds;
    // 1/2 and 2: their geometric mean is 1.
    expect(ratioOf(results, { of: 'a', to: 'b', figure })).toMatchObject({ middle: 1, seeds: 2 });
    expect(ratioOf(results, { of: 'a', to: 'd', figure })).toBeUndefined();
  });
});

test('workers are paid from the order to the end of the process, within the scored time', () => {
  let nowMs = 0;
  const paid = new PaidTime(() => nowMs);
  const none = () => undefined;
  const observer: FleetObserver = {
    started: none,
    ready: none,
    crashed: none,
    stopped: none,
    eventsDropped: none,
  };
  paid.listen(observer);
  const at = (ms: number) => {
    nowMs = ms;
    return observer;
  };
  at(0).started({ pool: 'p', workerId: '1' });
  at(4000).started({ pool: 'p', workerId: '2' });
  at(5000).ready({ pool: 'p', workerId: '2', leadTimeS: 1 });
  at(9000).stopped({ pool: 'p', workerId: '2', killed: false });
  at(9500).started({ pool: 'p', workerId: '3' });
  at(11_000).crashed({ pool: 'p', workerId: '3', reason: 'x', restartInMs: 1 });
  // The first all 8 s, the second 5 s, the third half a second of [2 s, 10 s).
  expect(paid.between({ fromMs: 2000, toMs: 10_000 })).toBe(13.5);
  expect(paid).toMatchObject({ crashes: 1, leadTimesS: [1] });
});
