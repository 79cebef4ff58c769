import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { formatProblem } from '#adapters/input-problems';
import { configJsonSchema } from './config.js';
import { loadConfig, parseConfig } from './config-file.js';

const projectDir = join(import.meta.dirname, '..', '..', '..');

function problems(text: string): string[] {
  const parsed = parseConfig(text);
  return parsed.ok ? [] : parsed.problems.map(formatProblem);
}

describe('config/demo.yaml', () => {
  const file = join(projectDir, 'config', 'demo.yaml');

  test('is valid, names its schema, and its folders are relative to the file', async () => {
    const loaded = await loadConfig(file);
    expect(loaded).toMatchObject({
      ok: true,
      config: {
        pools: {
          demo: { seasonsS: [600], worker: { handlers: join(projectDir, 'handlers', 'demo') } },
          web: { bucketS: 1, seasonsS: [1440], settleMs: 250 },
        },
      },
    });
    expect(readFileSync(file, 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=\.\.\/docs\/config\.schema\.json\n/,
    );
  });

  test('docs/config.schema.json is the schema of the code', () => {
    const committed = JSON.parse(
      readFileSync(join(projectDir, 'docs', 'config.schema.json'), 'utf8'),
    ) as unknown;
    expect(committed).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
  });
});

describe('parseConfig', () => {
  test('a setting of the policy that nothing reads yet says so', () => {
    const described: string[] = [];
    JSON.stringify(configJsonSchema(), (name, value: { description?: string }) => {
      if (['violationTargetRatio', 'errorRatioMax'].includes(name)) described.push(value.description ?? name);
      return value;
    });
    expect(described).toHaveLength(2);
    for (const text of described) expect(text).toContain('Recorded; decisions do not use it yet.');
  });

  test('an empty file is the default configuration', () => {
    expect(parseConfig('')).toMatchObject({
      ok: true,
      config: {
        api: { port: 8080 },
        router: { port: 8081 },
        deadLetters: { payload: 'redact', maxPayloadBytes: 16_384 },
        pools: {},
      },
    });
  });

  test.each([
    ['deadLetters: { payload: hide }', 'deadLetters.payload: must be "keep" or "redact", got "hide"'],
    ['deadLetters: { maxPayloadBytes: 65537 }', 'deadLetters.maxPayloadBytes: must be ≤ 65536, got 65537'],
    ['api: { port: 8081 }', 'router.port: must hold: another port than api.port, got nothing'],
    [
      'pools: { web: { bucketS: 7, seasonsS: [20] } }',
      'pools.web.seasonsS[0]: must hold: a multiple of bucketS (7), got 20',
    ],
    [
      'pools: { web: { bucketS: 1, settleMs: 12001 } }',
      'pools.web.settleMs: must hold: at most 12000 with buckets of 1 s (beyond it demand and forecasts are stale when they are used, and every decision blind), got 12001',
    ],
    [
      'pools: { web: { settleMs: 18001 } }',
      'pools.web.settleMs: must hold: at most 18000 with buckets of 10 s (beyond it demand and forecasts are stale when they are used, and every decision blind), got 18001',
    ],
    [
      'pools: { web: { bucketS: 1, seasonsS: [20, 10] } }',
      'pools.web.seasonsS[1]: must hold: longer than the season before it, got 10',
    ],
    [
      'pools: { web: { bucketS: 1, leadTimeMaxS: 14400 } }',
      'pools.web.leadTimeMaxS: must hold: at most 9999 buckets of 1 s, got 14400',
    ],
    [
      'pools: { web: { source: { kind: synthetic } } }',
      'pools.web.worker.handlers: must hold: a folder when the pool has a source, got nothing',
    ],
    [
      'pools: { web: { bukketS: 1 } }',
      'pools.web.bukketS: must be a known key (did you mean bucketS?), got "bukketS"',
    ],
    [
      '{ ingest: { maxPools: 1 }, pools: { a: {}, b: {} } }',
      'ingest.maxPools: must hold: at least the 2 pools of this file, got 1',
    ],
  ])('%s', (text, problem) => {
    expect(problems(text)).toEqual([problem]);
  });

  test('the event log is embedded, or Kafka with files beside the configuration', async () => {
    expect(parseConfig('')).toMatchObject({ config: { eventLog: { kind: 'embedded' } } });
    const folder = mkdtempSync(join(tmpdir(), 'headroom-config-'));
    const sasl = '{ mechanism: scram-sha-512, username: headroom, passwordFile: secrets/password }';
    const text = `eventLog: { kind: kafka, brokers: ['kafka-1:9092'], prefix: prod., sasl: ${sasl}, tls: { caFile: ca.pem } }`;
    writeFileSync(join(folder, 'headroom.yaml'), text);
    expect(await loadConfig(join(folder, 'headroom.yaml'))).toMatchObject({
      config: {
        eventLog: {
          brokers: ['kafka-1:9092'],
          bundles: 8,
          sasl: { passwordFile: join(folder, 'secrets', 'password') },
          tls: { caFile: join(folder, 'ca.pem') },
        },
      },
    });
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['{ kind: kafka, brokers: [] }', /^eventLog\.brokers: /],
    ['{ kind: kafka, brokers: [nowhere] }', /^eventLog\.brokers\[0\]: .*host:port/],
    ['{ kind: kafka, brokers: ["a:1"], compression: snappy }', /^eventLog\.compression: .*zstd/],
    ['{ kind: kafka, brokers: ["a:1"], sasl: { mechanism: plain, password: x } }', /^eventLog\.sasl\./],
    ['{ kind: kafka, brokers: ["a:1"], tls: { certFile: a } }', /^eventLog\.tls\.keyFile: /],
    ['{ kind: nats }', /^eventLog\.kind: /],
  ])('eventLog: %s', (text, problem) => {
    expect(problems(`eventLog: ${text}`)[0]).toMatch(problem);
  });

  test.each([
    'pools: { __proto__: {} }',
    '{ "__proto__": { api: { port: 1 } } }',
    'api: { port: 1, __proto__: 2 }',
  ])('a key that no check would see: %s', (text) => {
    expect(problems(text)).toEqual([
      expect.stringMatching(/^line 1, column \d+: must be another key, got "__proto__"$/),
    ]);
  });

  test('files of the store are found beside the configuration, and its password has a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'headroom-config-'));
    const file = join(folder, 'headroom.yaml');
    const url = 'postgres://headroom@db/headroom';
    writeFileSync(
      file,
      `store: { kind: postgres, url: '${url}', passwordFile: secret, tls: { caFile: certs/ca.pem } }`,
    );
    expect(await loadConfig(file)).toMatchObject({
      ok: true,
      config: {
        store: {
          url,
          passwordFile: join(folder, 'secret'),
          tls: { caFile: join(folder, 'certs', 'ca.pem') },
        },
      },
    });
    rmSync(folder, { recursive: true });
    expect(problems('store: { kind: postgres, url: "postgres://headroom:secret@db/headroom" }')).toEqual([
      'store.url: must hold: a url without a password (it belongs into passwordFile), got "postgres://headroom:***@db/headroom"',
    ]);
  });

  test('pool names and YAML errors are said with their place', () => {
    expect(problems('pools: { Web: {} }')[0]).toMatch(/^pools\.Web: key must be valid: lower-case/);
    expect(problems('api: {\n')[0]).toMatch(/^line \d+, column \d+: must be YAML/);
  });
});
