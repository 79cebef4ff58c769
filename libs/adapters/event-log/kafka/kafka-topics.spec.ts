import { expect, test } from '@jest/globals';
import { settingsOf } from './kafka-topics.js';

const TOPIC = { name: 'in.v1', partitions: 2, retentionMs: 1_000, compacted: false };

const setting = (name: string, ...given: Parameters<typeof settingsOf>) =>
  settingsOf(...given).find((one) => one.setting === name);

test.each([
  [1, '1', []],
  [2, '2', ['1']],
  [3, '2', ['1']],
])('with %i copies a record is acknowledged in %s of them', (copies, wanted, refused) => {
  for (const compacted of [false, true]) {
    const minimum = setting('min.insync.replicas', { ...TOPIC, compacted }, { copies, compression: 'none' });
    expect(minimum?.wanted).toBe(wanted);
    expect(['1', '2', '3'].filter((got) => !minimum?.isMet(got))).toEqual(refused);
  }
});

test.each([
  ['none', 'uncompressed'],
  ['gzip', 'gzip'],
  ['zstd', 'zstd'],
] as const)('written with %s, a topic that others write to is stored %s', (compression, wanted) => {
  const given = { copies: 1, compression };
  const packing = setting('compression.type', { ...TOPIC, isOpen: true }, given);
  expect(packing?.wanted).toBe(wanted);
  const possible = ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'];
  expect(possible.filter((got) => packing?.isMet(got))).toEqual(['uncompressed', 'gzip', 'zstd']);
  const own = setting('compression.type', TOPIC, given);
  expect(own?.wanted).toBe(wanted);
  // A broker that packs everything by lz4 would make even our own state unreadable.
  expect(possible.filter((got) => own?.isMet(got))).toEqual(['producer', 'uncompressed', 'gzip', 'zstd']);
});

test('what time keeps, no limit in bytes cuts short', () => {
  const given = { copies: 1, compression: 'none' } as const;
  const limit = setting('retention.bytes', TOPIC, given);
  expect(limit?.wanted).toBe('-1');
  expect(['-1', '1073741824'].filter((got) => limit?.isMet(got))).toEqual(['-1']);
  expect(setting('retention.bytes', { ...TOPIC, compacted: true }, given)).toBeUndefined();
});
