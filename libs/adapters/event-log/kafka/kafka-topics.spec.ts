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
  expect(setting('compression.type', TOPIC, given)).toBeUndefined();
});
