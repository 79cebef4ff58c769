import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TOPICS } from '#adapters/event-log';
import { loadConfig, parseConfig } from './config-file.js';
import { eventSourcesOf } from './event-sources.js';
import type { EventSourceConfig } from './event-sources-config.js';
import { knownMappings } from './mappings/known-mappings.js';
import { readSourcePasswords } from './source-passwords.js';

const onKafka = { kind: 'kafka', brokers: ['127.0.0.1:1'] };

function problems(sources: object, pools: object = {}, eventLog: object = onKafka): string[] {
  const parsed = parseConfig(JSON.stringify({ sources, pools, eventLog }));
  return parsed.ok ? [] : parsed.problems.map(({ where, rule }) => `${where}: ${rule}`);
}
const kafka = (topic: string, more: object = {}) => ({ kind: 'kafka', topic, ...more });

async function declared(sources: object, passwords: [string, string][] = [], pools: object = {}) {
  const parsed = parseConfig(JSON.stringify({ sources, pools, eventLog: onKafka }));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const mappings = await knownMappings(parsed.config.mappings);
  const bucketSOf = (pool: string) => parsed.config.pools[pool]!.bucketS;
  return eventSourcesOf(parsed.config.sources, { mappings, passwords: new Map(passwords), bucketSOf });
}
const redis = (more: object = {}) => ({
  kind: 'redis-streams',
  url: 'redis://reader@127.0.0.1:1/0',
  streams: ['a', 'b'],
  mapping: 'bullmq-events',
  ...more,
});
const rabbit = (more: object = {}) => ({ kind: 'rabbitmq', url: 'amqps://127.0.0.1:1', queue: 'q', ...more });

test('each topic becomes one source with its mapping', async () => {
  const { topics, records } = await declared({ a: kafka('jobs', { mapping: 'n8n' }), b: kafka('events') });
  expect(topics).toMatchObject([
    { topic: 'jobs', mapping: { name: 'n8n' } },
    { topic: 'events', mapping: undefined },
  ]);
  expect(records).toEqual([]);
});

test('sources of records are opened with their mapping and the password of their file', async () => {
  const { records } = await declared({ bull: redis(), queue: rabbit() }, [['bull', 'p@ss/word']]);
  expect(records).toMatchObject([
    { name: 'bull', mapping: { name: 'bullmq-events' } },
    { name: 'queue', mapping: undefined },
  ]);
  const observer = { connected: () => 0, disconnected: () => 0, taken: () => 0, notTaken: () => 0 };
  const [bull, queue] = records.map(({ open }) => open({ take: async () => undefined, observer }));
  expect(bull).toMatchObject({
    options: { url: 'redis://reader:p%40ss%2Fword@127.0.0.1:1/0', group: 'headroom' },
  });
  expect(queue).toMatchObject({ options: { url: 'amqps://127.0.0.1:1', declare: true } });
});

test('pools are sampled with the queries, the delay and the secret of their source', async () => {
  const etl = { arrivals: 'sum(rate(jobs[1m]))' };
  const sources = {
    prom: { kind: 'prometheus', url: 'https://127.0.0.1:1/prom', pools: { etl } },
    depth: { kind: 'rabbitmq-depth', url: 'amqp://me@127.0.0.1:1', pools: { etl: { queue: 'tasks' } } },
  };
  const secrets: [string, string][] = [
    ['prom', 'token'],
    ['depth', 'word'],
  ];
  const { sampled } = await declared(sources, secrets, { etl: { bucketS: 20 } });
  expect(sampled).toMatchObject([
    {
      source: 'prom',
      pool: 'etl',
      delayS: 20,
      sampler: { address: { url: 'https://127.0.0.1:1/prom', token: 'token' }, queries: etl },
    },
    {
      source: 'depth',
      pool: 'etl',
      delayS: 0,
      sampler: { depths: { url: 'amqp://me:word@127.0.0.1:1' }, queue: 'tasks' },
    },
  ]);
  expect(problems({ prom: sources.prom })).toEqual([
    'sources.prom.pools.etl: must hold: a pool of this file',
  ]);
  expect(problems({ prom: { ...sources.prom, delayS: 30 } }, { etl: { bucketS: 20 } })).toEqual([
    'sources.prom.pools.etl: must hold: delayS at most the pool’s bucketS (20): later its demand is stale',
  ]);
  expect(problems({ a: sources.prom, b: sources.prom }, { etl: {} })).toEqual([
    'sources.b: must hold: a source of its own: the demand of pool etl is read by another one',
  ]);
});

test('the topics that Headroom writes are no sources', () => {
  for (const topic of [...Object.values(TOPICS), 'tasks.web.v1'])
    expect(problems({ own: kafka(topic) })).toEqual([
      'sources.own.topic: must hold: a topic that Headroom does not write itself',
    ]);
  expect(problems({ fine: kafka('executions.of.somebody') })).toEqual([]);
  const prefixed = { ...onKafka, prefix: 'prod.' };
  expect(problems({ own: kafka('prod.demand.v1') }, {}, prefixed)).toEqual([
    'sources.own.topic: must hold: a topic that Headroom does not write itself',
  ]);
  expect(problems({ fine: kafka('prod.jobs') }, {}, prefixed)).toEqual([]);
});

test('topics are read where the event log is: not while it is embedded', () => {
  expect(problems({ jobs: kafka('jobs') }, {}, { kind: 'embedded' })).toEqual([
    'sources.jobs.topic: must hold: eventLog.kind kafka: topics of others are read where the event log is',
  ]);
});

test('unknown mappings, kinds and topics, and one topic for two, are refused', () => {
  expect(problems({ a: kafka('jobs', { mapping: 'jobz' }) })).toEqual([
    'sources.a.mapping: must hold: a known mapping',
  ]);
  expect(problems({ a: kafka('jobs'), b: kafka('jobs') })).toEqual([
    'sources.b: must hold: a source of its own: topic jobs is read by another one',
  ]);
  expect(problems({ a: redis(), b: redis({ url: 'rediss://other@127.0.0.1:1/0', streams: ['b'] }) })).toEqual(
    ['sources.b: must hold: a source of its own: stream b of 127.0.0.1:1/0 is read by another one'],
  );
  expect(problems({ a: rabbit(), b: rabbit({ queue: 'r' }), c: rabbit() })).toHaveLength(1);
  expect(problems({ a: redis({ url: 'http://127.0.0.1' }) })).toEqual([
    'sources.a.url: must hold: an address that begins with redis:// or rediss://',
  ]);
  expect(problems({ a: redis({ mapping: undefined }) })).toHaveLength(1);
  expect(problems({ a: kafka('a b') })).toEqual(['sources.a.topic: must hold: the name of a topic']);
  expect(problems({ a: { kind: 'pigeon' } })).toHaveLength(1);
});

describe('password files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'headroom-passwords-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  async function read(content: string | undefined) {
    if (content !== undefined) writeFileSync(join(folder, 'password'), content);
    writeFileSync(
      join(folder, 'headroom.yaml'),
      JSON.stringify({
        sources: { bull: redis({ passwordFile: content === undefined ? 'none' : 'password' }) },
      }),
    );
    const loaded = await loadConfig(join(folder, 'headroom.yaml'));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    return readSourcePasswords(loaded.config.sources as Record<string, EventSourceConfig>);
  }

  test('hold the password in their first line, and lie beside the configuration', async () => {
    expect(await read('secret word\nnothing')).toEqual({
      ok: true,
      passwords: new Map([['bull', 'secret word']]),
    });
  });

  test('that are missing or empty are named', async () => {
    expect(await read('')).toMatchObject({
      ok: false,
      problem: 'sources.bull.passwordFile: must be a readable file with a secret, got an empty one',
    });
    expect(await read(undefined)).toMatchObject({
      ok: false,
      problem: expect.stringContaining('got ENOENT'),
    });
  });
});
