import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startPrometheus, type Prometheus } from '#parts/prometheus';
import type { Forecast } from '#domain/forecasting';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace } from './headroom-process.js';

// Who has metrics and no events: the past of a pool comes from a real Prometheus, so that its first forecast is warm, and
// so does its demand from then on.

const BUCKET_S = 10;
const SEASON_S = 600;
const PAST_S = 3 * SEASON_S;
const work = new Workplace();
let prometheus: Prometheus;
let api: ApiClient;
let config: string;
/** Aligned to buckets; the past ends here. */
const nowS = Math.floor(Date.now() / 1000 / BUCKET_S) * BUCKET_S;

/** Jobs a second: a day of ten minutes. */
const ratePerS = (s: number) => 20 + 15 * Math.sin((2 * Math.PI * s) / SEASON_S);

/** OpenMetrics: a counter that is scraped every ten seconds. */
function history(): string {
  const lines = ['# TYPE jobs_added counter'];
  let total = 0;
  for (let s = nowS - PAST_S; s <= nowS; s += BUCKET_S) {
    lines.push(`jobs_added_total ${total} ${s}`);
    total += Math.round(ratePerS(s) * BUCKET_S);
  }
  return [...lines, '# EOF\n'].join('\n');
}

const QUERY = `sum(increase(jobs_added_total[${2 * BUCKET_S}s])) / ${2 * BUCKET_S}`;

beforeAll(async () => {
  prometheus = await startPrometheus({ history: history() });
  const [apiPort, routerPort] = await freePorts(2);
  config = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0 },
    pools: { etl: { bucketS: BUCKET_S, seasonsS: [SEASON_S] }, live: { bucketS: 1, seasonsS: [60] } },
    sources: {
      prom: {
        kind: 'prometheus',
        url: prometheus.url,
        pools: { live: { arrivals: 'vector(30)', inFlight: 'vector(2)', backlog: 'vector(0)' } },
      },
    },
  });
  const program = work.start(config);
  await program.line(/^headroom: ready/m);
  api = new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
});
afterAll(async () => {
  await work.clean();
  await prometheus.stop();
});

async function importPrometheus(...more: string[]) {
  const from = [
    '--prometheus',
    prometheus.url,
    '--query',
    QUERY,
    '--config',
    config,
    '--data-dir',
    work.dataDir,
  ];
  const command = work.headroom('import', 'prometheus', '--pool', 'etl', ...from, ...more);
  const { code } = await command.ended;
  return { code, stdout: command.stdout, stderr: command.stderr };
}

async function arrivalsIn(pool: string): Promise<number> {
  const demand = await api.all<{ arrivals: number }>(`/v1/pools/${pool}/demand`);
  return demand.reduce((sum, bucket) => sum + bucket.arrivals, 0);
}

describe('headroom import prometheus', () => {
  test('makes the first forecast warm, and counts what it brings once', async () => {
    const taken = await importPrometheus('--json');
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    const summary = JSON.parse(taken.stdout) as { arrivals: number; buckets: number; bucketS: number };
    expect(summary.bucketS).toBe(BUCKET_S);
    expect(await arrivalsIn('etl')).toBe(summary.arrivals);
    // 20 a second on average; the ends are extrapolated.
    expect(Math.abs(summary.arrivals - 20 * PAST_S)).toBeLessThan(0.05 * 20 * PAST_S);
    await eventually('a warm forecast', async () => {
      const [latest] = await api.all<Forecast>('/v1/pools/etl/forecast');
      return latest?.provenance.state === 'warm' || undefined;
    });
    const again = await importPrometheus();
    expect(again).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/nothing new, history prometheus/),
    });
    expect(await arrivalsIn('etl')).toBe(summary.arrivals);
    const metrics = await api.metrics();
    expect(metrics.get('headroom_history_pieces_total{outcome="included"}')).toBeGreaterThan(1);
  });

  test('ends where other demand of the pool begins', async () => {
    const newestFirst = await api.all<{ start: string }>('/v1/pools/etl/demand');
    const first = Date.parse(newestFirst.at(-1)!.start);
    const before = await arrivalsIn('etl');
    const wide = ['--name', 'wide', '--query', 'vector(1)', '--json'];
    const from = new Date((nowS - 2 * PAST_S) * 1000).toISOString();
    const taken = await importPrometheus(...wide, '--from', from);
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    const { arrivals, to } = JSON.parse(taken.stdout) as { arrivals: number; to: string };
    expect(Date.parse(to)).toBe(first);
    expect(await arrivalsIn('etl')).toBe(before + arrivals);
    expect(await importPrometheus(...wide, '--from', to)).toMatchObject({ code: 0 });
    expect(await arrivalsIn('etl')).toBe(before + arrivals);
  });

  test.each([
    ['a query that is none', ['--query', 'sum('], 2, /prometheus: .*parse error/],
    ['nobody at the address', ['--prometheus', 'http://127.0.0.1:9'], 3, /prometheus: must answer/],
    ['a query without values', ['--query', 'nothing', '--name', 'other'], 2, /must have arrivals/],
    ['an unknown pool', ['--pool', 'nobody'], 2, /pool: must be known, got nobody/],
    ['no program', ['--url', 'http://127.0.0.1:9'], 3, /must answer, got/],
    ['another program', ['--url', 'PROMETHEUS'], 2, /must succeed, got 404/],
    ['no address', ['--prometheus', 'prometheus'], 2, /must be an address that begins with/],
    ['no token', ['--token-file', '/nowhere'], 2, /--token-file: must be a readable file/],
  ])('%s', async (_name, options, code, message) => {
    const typed = options.map((option) => (option === 'PROMETHEUS' ? prometheus.url : option));
    expect(await importPrometheus('--name', 'wrong', ...typed)).toMatchObject({
      code,
      stderr: expect.stringMatching(message),
    });
  });
});

test('demand that Prometheus measures is decided by, also when nobody sends an event', async () => {
  const decision = await eventually('a decision that sees 30 arrivals a second', async () => {
    const [latest] = await api.all<{ kind: string; inputs?: unknown; explanation: string }>(
      '/v1/pools/live/decisions',
    );
    return latest !== undefined && latest.kind !== 'blind' ? latest : undefined;
  });
  expect(decision.explanation).not.toBe('');
  const buckets = await api.all<{ arrivals: number }>('/v1/pools/live/demand');
  expect(buckets.length).toBeGreaterThan(1);
  expect(buckets.every(({ arrivals }) => arrivals === 30)).toBe(true);
  const metrics = await api.metrics();
  expect(metrics.get('headroom_demand_samples_total{source="prom",outcome="told"}')).toBeGreaterThan(1);
});
