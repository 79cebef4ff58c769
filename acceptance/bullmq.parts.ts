import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Queue, Worker, type Job } from 'bullmq';
import { startRedis, type Redis } from '#parts/redis';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace, type HeadroomProcess } from './headroom-process.js';

// BullMQ as it is on a real Redis, unchanged, and Headroom listening to its event streams: every job counts, each once,
// although the program is killed while jobs run.

const QUEUES = ['images', 'Mail_Outbound'];
const POOLS = ['images', 'mail-outbound'];
const JOBS_PER_ROUND = 150;
const work = new Workplace();
let redis: Redis;
let queues: Queue[];
let workers: Worker[];
let ended = 0;

beforeAll(async () => {
  redis = await startRedis();
  const { hostname: host, port } = new URL(redis.url);
  const connection = { host, port: Number(port) };
  queues = QUEUES.map((name) => new Queue(name, { connection }));
  workers = QUEUES.map((name) => new Worker(name, run, { connection, concurrency: 4 }));
  for (const worker of workers) worker.on('completed', () => void ended++).on('failed', hear);
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all(queues.map((queue) => queue.close()));
  await work.clean();
  await redis.stop();
});

const CLAIMED_WITHIN_MS = 120_000;

async function run({ data }: Job<{ takesMs: number; fails: boolean }>): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, data.takesMs));
  if (data.fails) throw new Error('cannot');
}
function hear(job: Job | undefined): void {
  if (job?.finishedOn !== undefined) ended++;
}

/** Jobs on both queues, one of ten of which fails for good. */
async function addJobs(): Promise<void> {
  for (const queue of queues) {
    const jobs = Array.from({ length: JOBS_PER_ROUND }, (_, i) => ({
      name: 'job',
      data: { takesMs: i % 7, fails: i % 10 === 0 },
      opts: { removeOnComplete: true, removeOnFail: true },
    }));
    await queue.addBulk(jobs);
  }
}

test('every job counts once, across a kill of the program', async () => {
  const [apiPort, routerPort] = await freePorts(2);
  const config = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0 },
    sources: {
      bull: {
        kind: 'redis-streams',
        url: redis.url,
        streams: QUEUES.map((name) => `bull:${name}:events`),
        mapping: 'bullmq-events',
      },
    },
  });
  const start = async (): Promise<HeadroomProcess> => {
    const program = work.start(config);
    await program.line(/^headroom: ready/m);
    return program;
  };
  const first = await start();
  const api = new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
  const connected = () =>
    eventually('a connected source', async () => {
      const metrics = await api.metrics();
      return metrics.get('headroom_record_source_connected_ratio{source="bull"}') === 1 || undefined;
    });
  await connected();
  await addJobs();
  await eventually('half of the jobs', () => ended >= JOBS_PER_ROUND || undefined);
  first.kill('SIGKILL');
  await first.ended;
  await addJobs();
  await start();
  await connected();
  await addJobs();
  const jobs = 3 * JOBS_PER_ROUND;
  await eventually('the end of all jobs', () => ended === jobs * QUEUES.length || undefined);

  for (const pool of POOLS) {
    // What the killed program had read comes to the next one when it was left alone for a minute.
    const totals = await eventually(
      `demand of ${pool}`,
      async () => {
        const buckets = await api.all<Record<string, number>>(`/v1/pools/${pool}/demand`);
        const sum = (count: string) =>
          buckets.reduce((total, bucket) => total + (bucket[count] as number), 0);
        const counts = {
          arrivals: sum('arrivals'),
          completions: sum('completions'),
          failures: sum('failures'),
        };
        return counts.completions + counts.failures >= jobs ? counts : undefined;
      },
      CLAIMED_WITHIN_MS,
    );
    expect(totals).toEqual({ arrivals: jobs, completions: jobs * 0.9, failures: jobs * 0.1 });
  }
  const metrics = await api.metrics();
  expect(metrics.get('headroom_record_source_waiting_records{source="bull"}')).toBeDefined();
  expect(
    metrics.get('headroom_mapped_records_total{mapping="bullmq-events",outcome="mapped"}'),
  ).toBeGreaterThan(0);
});
