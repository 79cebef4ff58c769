// Records what a real BullMQ writes: node scripts/record-bullmq-fixtures.js redis://127.0.0.1:6379
// Two queues of one run: jobs that complete, that fail for good, that succeed when they are tried again, with a delay and
// with a priority. Writes, as JSON lines, to libs/domain/mapping/fixtures/
//   bullmq-events.jsonl  the entries of the queues' event streams, and under `@` what Redis says of each
//   bullmq-jobs.jsonl    the jobs as who adds them and the listeners of a worker see them
// What a new recording becomes must be looked at, and goes beside it as it is:
//   headroom mapping test <file> --mapping <name> > <file without .jsonl>.txt
import { writeFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { Queue, Worker } from 'bullmq';

const FOLDER = 'libs/domain/mapping/fixtures';
const url = process.argv[2];
if (url === undefined) {
  process.stderr.write('record-bullmq-fixtures: must be given the address of a Redis that may be emptied\n');
  process.exit(2);
}
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port) };
const redis = new Redis({ ...connection, maxRetriesPerRequest: null });
const queues = ['images', 'Mail_Outbound'].map((name) => new Queue(name, { connection }));
const jobs = [];
let ended = 0;
const done = Promise.withResolvers();

await redis.flushall();
const expected = await addJobs(queues);
const workers = queues.map(({ name }) => startWorker(name));
await done.promise;
const events = await readStreams(queues);
await Promise.all(workers.map((worker) => worker.close()));
await Promise.all(queues.map((queue) => queue.close()));
await redis.quit();
write('bullmq-events', events);
write('bullmq-jobs', jobs);

async function addJobs([images, mail]) {
  const added = [
    await images.add('resize', { width: 320, takesMs: 12 }),
    await images.add('resize', { width: 64, takesMs: 5 }, { priority: 1 }),
    await images.add('crop', { takesMs: 8, failures: 1 }, { attempts: 1 }),
    await mail.add('send', { takesMs: 7 }),
    await mail.add(
      'send',
      { takesMs: 4, failures: 1 },
      { attempts: 3, backoff: { type: 'fixed', delay: 20 } },
    ),
    await mail.add('send', { takesMs: 3, failures: 1 }, { attempts: 2 }),
    await mail.add('digest', { takesMs: 6 }, { delay: 30 }),
  ];
  for (const job of added) keep('added', job);
  return added.length;
}

function startWorker(name) {
  const worker = new Worker(name, work, { connection, concurrency: 2 });
  worker.on('active', (job) => keep('active', job));
  worker.on('completed', (job) => end('completed', job));
  worker.on('failed', (job) => (job.finishedOn === undefined ? keep('failed', job) : end('failed', job)));
  return worker;
}

async function work(job) {
  await new Promise((resolve) => setTimeout(resolve, job.data.takesMs));
  if (job.attemptsStarted <= (job.data.failures ?? 0))
    throw new TypeError(`attempt ${job.attemptsStarted} fails`);
  return { bytes: 1024 };
}

function end(event, job) {
  keep(event, job);
  ended += 1;
  if (ended === expected) done.resolve();
}

// A job changes while it is worked on.
function keep(event, job) {
  const { stacktrace: _, ...json } = JSON.parse(JSON.stringify(job));
  jobs.push({ event, queue: job.queueName, at: Date.now(), job: json });
}

async function readStreams(all) {
  const entries = [];
  for (const { name } of all) {
    const stream = `bull:${name}:events`;
    for (const [id, fields] of await redis.xrange(stream, '-', '+')) {
      const pairs = Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]);
      const about = { stream, parts: stream.split(':'), id, timeMs: Number(id.split('-')[0]) };
      entries.push({ ...Object.fromEntries(pairs), '@': about });
    }
  }
  return entries;
}

function write(name, records) {
  writeFileSync(`${FOLDER}/${name}.jsonl`, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
}
