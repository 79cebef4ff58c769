import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema } from './kafka-settings.js';

jest.setTimeout(180_000);

const DISK_MIB = 128;
const CHUNK = Buffer.alloc(64 * 1024);
const MAX_CHUNKS = (DISK_MIB * 1024 * 1024) / CHUNK.length;
/** Of 100 kB each: more than the disk holds when it is empty. */
const MAX_APPENDS = 2_000;
const flags = process.getuid?.() === 0 ? ['-m'] : ['-Urm'];

let mountPoint: string;
/** Holds a mount namespace in which the broker's disk is small. */
let keeper: ChildProcess;
let broker: Kafka;
let log: KafkaEventLog;

beforeAll(async () => {
  const tried = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
  if (tried.status !== 0)
    throw new Error(`disk full: \`unshare ${flags.join(' ')} true\` must work, got ${tried.stderr}`);
  mountPoint = mkdtempSync(join(tmpdir(), 'headroom-small-disk-'));
  const script = `mount -t tmpfs -o size=${DISK_MIB}m tmpfs "$0" && echo mounted && exec sleep 600`;
  keeper = spawn('unshare', [...flags, 'sh', '-c', script, mountPoint], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(keeper.stdout as NodeJS.ReadableStream, 'data');
  const user = flags.includes('-m') ? [] : ['-U', '--preserve-credentials'];
  broker = await startKafka({
    properties: { 'log.dirs': join(mountPoint, 'data') },
    inside: (command) => ['nsenter', '-t', String(keeper.pid), '-m', ...user, ...command],
  });
  log = await KafkaEventLog.open(
    kafkaSettingsSchema.parse({ kind: 'kafka', brokers: [broker.bootstrap], replicationFactor: 1 }),
  );
}, 120_000);
afterAll(async () => {
  await log.close();
  await broker.stop();
  const ended = once(keeper, 'exit');
  keeper.kill('SIGKILL');
  await ended;
  rmSync(mountPoint, { recursive: true });
});

const fillFile = () => join('/proc', String(keeper.pid), 'root', mountPoint, 'fill');

function fill(): void {
  const file = openSync(fillFile(), 'w');
  try {
    for (let i = 0; i < MAX_CHUNKS; i++) writeSync(file, CHUNK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

test('a broker whose disk is full: appends are refused, what was acknowledged stays, and after room is made it goes on', async () => {
  await log.ensureTopics([{ name: 'in.v1', partitions: 1, retentionMs: 3_600_000, compacted: false }]);
  const append = (value: string) => log.append('in.v1', [{ key: 'k', value }]);
  await append('before');
  fill();
  const acknowledged = ['before'];
  const appendUntilRefused = async (): Promise<Error | undefined> => {
    for (let i = 0; i < MAX_APPENDS; i++) {
      const value = `${i} ${'x'.repeat(100_000)}`;
      const refusal = await append(value).catch((error: Error) => error);
      if (refusal !== undefined) return refusal;
      acknowledged.push(value);
    }
    return undefined;
  };
  expect((await appendUntilRefused())?.message).toMatch(/^event log on Kafka, writing in\.v1: /);
  rmSync(fillFile());
  await broker.restart();
  await append('after');
  const kept = await log.read({ topic: 'in.v1', partition: 0, offset: 0, maxRecords: 10_000 });
  const values = kept.map(({ value }) => value);
  for (const value of [...acknowledged, 'after']) expect(values).toContain(value);
});
