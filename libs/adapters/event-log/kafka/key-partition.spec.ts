import { expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { murmur2, partitionOfKey } from './key-partition.js';

test.each([
  // As in the tests of Kafka's own clients.
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('the hash of %s is that of Kafka’s clients', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});

test('keys go where kafkajs puts them, of any length and alphabet', () => {
  const partitioner = kafkajs.Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: 12 }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 1,
    replicas: [1],
    isr: [1],
  }));
  for (let i = 0; i < 500; i++) {
    const key = `${'schlüssel-'.repeat(i % 7)}${i}`.slice(i % 5);
    const message = { key, value: null };
    expect(partitionOfKey(key, 12)).toBe(partitioner({ topic: 't', partitionMetadata, message }));
  }
});
