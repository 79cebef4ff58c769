import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { CATALOGUE, type MetricSpec } from './catalogue.js';
import { createLogger, NestLogger } from './logger.js';
import { createMetrics, ForgottenPools } from './metrics.js';
import { metricsPage } from './metrics-page.js';

const UNITS =
  /_(seconds|requests|ratio|workers|events|records|attempts|decisions|partials|exits|runs|retries|failures|forecasts|limits|letters|applied|problems|partitions|restarts|samples|pieces)(_total)?$/;

test('every metric has a unit in its name, a paragraph, and the suffix of its kind', async () => {
  const metrics = createMetrics();
  const page = await metrics.registry.metrics();
  for (const { name, kind, meaning } of Object.values(CATALOGUE) as MetricSpec[]) {
    expect(name).toMatch(UNITS);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
    expect(meaning.length).toBeGreaterThan(50);
    expect(page).toContain(`# TYPE ${name} ${kind}`);
  }
});

test('a pool that is forgotten leaves no label behind, and takes none of the others', async () => {
  const { registry, decisions, workers } = createMetrics();
  for (const pool of ['etl', 'web']) {
    decisions.inc({ pool, kind: 'hold', reason: 'idle' });
    decisions.inc({ pool, kind: 'scale', reason: 'forecast' });
    workers.set({ pool, state: 'ready' }, 3);
  }
  await new ForgottenPools([decisions, workers]).forget('etl');
  const page = await registry.metrics();
  expect(page).not.toContain('pool="etl"');
  expect(page.match(/pool="web"/g)).toHaveLength(3);
});

test('pools that go together are forgotten in one pass over each metric', async () => {
  const { decisions } = createMetrics();
  let passes = 0;
  const counted = {
    get: () => {
      passes++;
      return decisions.get();
    },
    remove: (labels: object) => decisions.remove(labels),
  };
  const pools = Array.from({ length: 1_000 }, (_, i) => `pool-${i}`);
  for (const pool of pools) decisions.inc({ pool, kind: 'hold', reason: 'idle' });
  const forgotten = new ForgottenPools([counted]);
  await Promise.all(pools.slice(1).map((pool) => forgotten.forget(pool)));
  expect(passes).toBe(1);
  expect((await decisions.get()).values.map(({ labels }) => labels.pool)).toEqual(['pool-0']);
  await forgotten.forget('pool-0');
  expect((await decisions.get()).values).toEqual([]);
});

test('docs/metrics.md is the page of the catalogue', () => {
  expect(readFileSync('docs/metrics.md', 'utf8')).toBe(metricsPage());
});

test('the log is JSON, and credentials do not reach it', () => {
  const lines: string[] = [];
  const logger = createLogger({
    level: 'debug',
    destination: { write: (line: string) => void lines.push(line) },
  });
  logger.info({ token: 'abc', headers: { authorization: 'Bearer abc' }, pool: 'etl' }, 'request');
  expect(JSON.parse(lines[0] as string)).toMatchObject({
    msg: 'request',
    pool: 'etl',
    token: '[secret]',
    headers: { authorization: '[secret]' },
  });
  expect(lines.join()).not.toContain('abc');
  const failed = Object.assign(new Error('no room'), { code: '53100', query: 'insert', parameters: ['abc'] });
  logger.error({ err: Object.assign(failed, { cause: new Error('disk') }) }, 'a statement');
  const { err } = JSON.parse(lines.at(-1) as string) as { err: Record<string, string> };
  expect(err).toEqual({
    type: 'Error',
    message: 'no room: disk',
    stack: expect.stringContaining('telemetry.spec'),
    code: '53100',
  });
  expect(lines.join()).not.toContain('abc');
  const nest = new NestLogger(logger);
  nest.log('routes mapped', 'Router');
  nest.debug('detail');
  nest.warn('odd');
  nest.error('bad', 'stack');
  nest.error(new Error('worse'));
  expect(lines.slice(2).map((line) => (JSON.parse(line) as { level: number }).level)).toEqual([
    20, 20, 40, 50, 50,
  ]);
});
