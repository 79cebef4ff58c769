import { describe, expect, test } from '@jest/globals';
import { scoreOf } from './score.js';
import type { SentRequests } from './sent-requests.js';

/** [planned ms, latency ms, status] of each request. */
function sent(requests: [number, number, number][]): SentRequests {
  return {
    plannedMs: Float64Array.from(requests, ([planned]) => planned),
    latencyMs: Float64Array.from(requests, ([, latency]) => latency),
    status: Uint16Array.from(requests, ([, , status]) => status),
    latenessMs: Float64Array.from(requests, () => 1),
    byError: {},
  };
}

describe('the score of a cell', () => {
  test('counts what was planned in the scored seconds; slow, failed and rejected ones violate', () => {
    const score = scoreOf(
      sent([
        [-500, 900, 200],
        [100, 20, 200],
        [200, 51, 200],
        [1100, 5, 503],
        [1900, 10_000, 0],
        [2000, 80, 200],
      ]),
      2,
    );
    expect(score).toMatchObject({
      requests: 4,
      violating: 3,
      violatingShare: 0.75,
      errors: 2,
      errorsBy: { 'HTTP 503': 1, 'no answer': 1 },
      arrivalsPerS: [2, 2],
      violatingPerS: [1, 2],
    });
  });

  test('a violation second looks at the latest 200 requests, those before the scored time included', () => {
    const rows = Array.from({ length: 300 }, (_, i): [number, number, number] => [i * 10 - 1000, 20, 200]);
    expect(scoreOf(sent(rows), 2).violationSeconds).toBe(0);
    // 11 of the first 200 are slow: more than 5 %, until they leave the window at the end.
    const slow = rows.map(([planned, latency, status], i): [number, number, number] => [
      planned,
      i < 110 && i >= 99 ? 60 : latency,
      status,
    ]);
    expect(scoreOf(sent(slow), 2).violationSeconds).toBe(2);
  });
});
