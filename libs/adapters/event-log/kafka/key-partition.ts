const SEED = 0x9747b28c;
const M = 0x5bd1e995;

/** Where Java's producer puts a key, and every client that follows it (kafkajs, librdkafka's murmur2_random). */
export function partitionOfKey(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions;
}

/** MurmurHash2, 32 bits, with the seed of Kafka's clients. */
export function murmur2(data: Uint8Array): number {
  const { length } = data;
  const whole = length & ~3;
  let h = SEED ^ length;
  for (let i = 0; i < whole; i += 4) {
    let k = byte(data, i) | (byte(data, i + 1) << 8) | (byte(data, i + 2) << 16) | (byte(data, i + 3) << 24);
    k = Math.imul(k, M);
    k = Math.imul(k ^ (k >>> 24), M);
    h = Math.imul(h, M) ^ k;
  }
  if (whole < length) {
    for (let i = length - 1; i >= whole; i--) h ^= byte(data, i) << (8 * (i - whole));
    h = Math.imul(h, M);
  }
  h = Math.imul(h ^ (h >>> 13), M);
  return h ^ (h >>> 15);
}

const byte = (data: Uint8Array, at: number): number => data[at] as number;
