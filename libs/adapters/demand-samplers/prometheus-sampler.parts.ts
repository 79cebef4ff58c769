import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePorts } from '#parts/free-ports';
import { startPrometheus, type Prometheus } from '#parts/prometheus';
import type { DemandSample } from '#domain/demand';
import { QueryRefused, queryRange } from './prometheus-client.js';
import { PrometheusSampler, type PrometheusQueries } from './prometheus-sampler.js';

// A real Prometheus with a made-up hour of history: 30 s between scrapes, 4 jobs a second, then none, then 8 a second.
const SCRAPE_S = 30;
const BUCKET_S = 60;
const BUCKET_MS = BUCKET_S * 1000;
const HOUR_S = 3600;
/** Aligned, and far enough in the past that all of it is in. */
const START_MS = Math.floor((Date.now() - 2 * HOUR_S * 1000) / BUCKET_MS) * BUCKET_MS;

let prometheus: Prometheus;
beforeAll(async () => {
  prometheus = await startPrometheus({ history: history() });
});
afterAll(() => prometheus.stop());

function ratePerS(sinceS: number): number {
  if (sinceS < 1200) return 4;
  return sinceS < 2400 ? 0 : 8;
}

/** OpenMetrics text: counters of jobs on two workers, a gauge, a histogram of their times (half below 10 ms, half below 100). */
function history(): string {
  const times = Array.from({ length: HOUR_S / SCRAPE_S + 1 }, (_, i) => i * SCRAPE_S);
  const jobs: number[] = [];
  let total = 0;
  for (const s of times) {
    jobs.push(total);
    total += ratePerS(s) * SCRAPE_S;
  }
  const at = (s: number) => START_MS / 1000 + s;
  const lines = (name: string, labels: string, value: (i: number, s: number) => number) =>
    times.map((s, i) => `${name}{${labels}} ${value(i, s)} ${at(s)}`);
  return [
    '# TYPE jobs_added counter',
    ...lines('jobs_added_total', 'worker="a"', (i) => jobs[i]! / 2),
    ...lines('jobs_added_total', 'worker="b"', (i) => jobs[i]! / 2),
    '# TYPE jobs_running gauge',
    ...lines('jobs_running', '', (_, s) => ratePerS(s) / 2),
    '# TYPE jobs_waiting gauge',
    ...lines('jobs_waiting', '', (_, s) => (s >= 2400 ? 12 : 0)),
    '# TYPE job_seconds histogram',
    ...lines('job_seconds_bucket', 'le="0.01"', (i) => jobs[i]! / 2),
    ...lines('job_seconds_bucket', 'le="0.1"', (i) => jobs[i]!),
    ...lines('job_seconds_bucket', 'le="+Inf"', (i) => jobs[i]!),
    ...lines('job_seconds_sum', '', (i) => jobs[i]! * 0.05),
    ...lines('job_seconds_count', '', (i) => jobs[i]!),
    '# EOF\n',
  ].join('\n');
}

const arrivals = 'sum(rate(jobs_added_total[1m]))';
function sample(
  queries: Partial<PrometheusQueries>,
  [fromS, toS]: [number, number],
): Promise<DemandSample[]> {
  const sampler = new PrometheusSampler({ url: prometheus.url }, { arrivals, ...queries });
  return sampler.sample({ fromMs: START_MS + fromS * 1000, toMs: START_MS + toS * 1000, bucketS: BUCKET_S });
}
const meanMs = ({ service = [] }: DemandSample) => {
  const count = service.reduce((sum, one) => sum + one.count, 0);
  return service.reduce((sum, one) => sum + one.valueMs * one.count, 0) / count;
};

describe('Prometheus', () => {
  test('arrivals and levels bucket by bucket, in the buckets where they were', async () => {
    const samples = await sample({ inFlight: 'sum(jobs_running)', backlog: 'sum(jobs_waiting)' }, [
      0,
      HOUR_S,
    ]);
    expect(samples.map(({ startMs }) => startMs)).toEqual(
      Array.from({ length: HOUR_S / BUCKET_S }, (_, i) => START_MS + i * BUCKET_MS),
    );
    const total = samples.reduce((sum, one) => sum + one.arrivals!, 0);
    // rate() extrapolates where the rate changes: half a bucket at each of three edges.
    expect(Math.abs(total - (4 * 1200 + 8 * 1200))).toBeLessThan(3 * 8 * (BUCKET_S / 2));
    expect(samples[5]).toMatchObject({ inFlight: 2, backlog: 0 });
    expect(samples[5]!.arrivals).toBeCloseTo(4 * BUCKET_S, 6);
    expect(samples[30]).toMatchObject({ arrivals: 0, inFlight: 0, backlog: 0 });
    expect(samples[50]).toMatchObject({ inFlight: 4, backlog: 12 });
  });

  test('service times: from a histogram, from a mean, and else from what is in flight', async () => {
    const span: [number, number] = [600, 900];
    const serviceBuckets = 'sum by (le) (rate(job_seconds_bucket[1m]))';
    for (const one of await sample({ serviceBuckets }, span)) {
      expect(one.service!.map(({ valueMs, count }) => [Math.round(valueMs), Math.round(count)])).toEqual([
        [5, 2 * BUCKET_S],
        [32, 2 * BUCKET_S], // √(10 · 100)
      ]);
    }
    const serviceMeanS = 'sum(rate(job_seconds_sum[1m])) / sum(rate(job_seconds_count[1m]))';
    for (const one of await sample({ serviceMeanS }, span)) expect(meanMs(one)).toBeCloseTo(50, 3);
    for (const one of await sample({ inFlight: 'sum(jobs_running)' }, span))
      expect(meanMs(one)).toBeCloseTo(500, 3);
    expect((await sample({}, span)).every(({ service }) => service!.length === 0)).toBe(true);
    // 0 ÷ 0 where nothing arrived.
    for (const one of await sample({ serviceMeanS }, [1500, 1800])) expect(one.service).toEqual([]);
  });

  test('what it does not know is left out', async () => {
    expect(await sample({}, [-HOUR_S, -600])).toEqual([]);
    const across = await sample({}, [-300, 300]);
    expect(across.map(({ startMs }) => startMs)).toEqual(
      [0, 60, 120, 180, 240].map((s) => START_MS + s * 1000),
    );
  });

  test('a level that is asked for and not told makes the bucket unknown', async () => {
    // Told while jobs arrive only, as by an exporter that vanishes.
    const known = await sample({ inFlight: 'sum(jobs_running) > 0' }, [900, 1800]);
    expect(known.at(-1)).toMatchObject({ startMs: START_MS + 1200 * 1000 - 2 * BUCKET_MS, inFlight: 2 });
    expect((await sample({}, [900, 1800])).at(-1)?.startMs).toBe(START_MS + 1800 * 1000 - BUCKET_MS);
    expect(await sample({ backlog: 'sum(jobs_nowhere)' }, [900, 1800])).toEqual([]);
  });

  test.each([
    ['no PromQL', 'sum(rate(', /^prometheus: .*parse error/],
    ['several series', 'rate(jobs_added_total[1m])', /must be one series \(sum\(\) makes one\), got 2$/],
  ])('%s is refused with what to do about it', async (_name, query, message) => {
    const asked = sample({ arrivals: query }, [0, 600]);
    await expect(asked).rejects.toThrow(message);
    await expect(asked).rejects.toThrow(QueryRefused);
  });

  test('nobody there, and somebody else, are errors', async () => {
    const query = { query: 'up', fromMs: START_MS, toMs: START_MS + BUCKET_MS, stepS: BUCKET_S };
    const [port] = await freePorts(1);
    await expect(queryRange({ url: `http://127.0.0.1:${port}` }, query)).rejects.toThrow(
      'prometheus: must answer within 10000 ms, got ECONNREFUSED',
    );
    await expect(queryRange({ url: `${prometheus.url}/graph` }, query)).rejects.toThrow(
      /must answer with a matrix/,
    );
  });
});
