// One set-up of bench:log in a process of its own, so that its memory is its own. Arguments: the data directory, and the
// cell as JSON; answers over the channel to its parent. With onlyMake it makes the directory and measures nothing: the
// engine keeps the memory that its first start takes.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedEventLog, type NewRecord, type RecordBatch } from '#adapters/event-log';
import { EmbeddedPostgres } from '#adapters/store';
import { quantile } from '../report.js';
import type { Cell, CellRun } from './cell.js';
import { UnsyncedEngine } from './unsynced-engine.js';

const INPUT = 'bench-in.v1';
const OUTPUT = 'bench-out.v1';
const GROUP = 'bench';
const RECORD_BYTES = 400;
const POOLS = 50;
const WARM_UP_MS = 1_000;
const MEASURED_MS = 4_000;
/** Appends in flight when as many as possible are sent, and records of each. */
const SENDERS = 24;
const RECORDS_PER_APPEND = 200;
/** A sink hands its records over this often when a rate is kept. */
const TICK_MS = 2;
const RSS_EVERY_MS = 100;

const [, , dataDir, cellText] = process.argv as [string, string, string, string];
const cell = JSON.parse(cellText) as Cell & { onlyMake?: true };

const newEngine = () =>
  cell.engine === 'unsynced' ? new UnsyncedEngine({ dataDir }) : EmbeddedPostgres.open({ dataDir });

/** Records of execution events as a router sends them, padded to the size. */
function makeRecords(): NewRecord[] {
  return Array.from({ length: 10_000 }, (_, i) => {
    const key = `execution-${i.toString(36).padStart(6, '0')}`;
    const data = { pool: `pool-${i % POOLS}`, attempt: 1, queuedAtMs: 1_764_000_000_000 + i, serviceMs: 20 };
    const event = { specversion: '1.0', id: key, type: 'com.headroom.execution.completed.v1', data, pad: '' };
    event.pad = 'x'.repeat(RECORD_BYTES - JSON.stringify(event).length);
    return { key, value: JSON.stringify(event) };
  });
}

/** What a consumer does: parse, aggregate by pool, commit the result and the offset as one step. */
class Consumer {
  records = 0;

  async take(
    { topic, partition, records }: RecordBatch,
    commit: (output: NewRecord[], offset: number) => Promise<unknown>,
  ): Promise<void> {
    const sums = new Map<string, { arrivals: number; serviceMs: number }>();
    for (const { value } of records) {
      const { data } = JSON.parse(value as string) as { data: { pool: string; serviceMs: number } };
      const sum = sums.get(data.pool) ?? { arrivals: 0, serviceMs: 0 };
      sums.set(data.pool, sum);
      sum.arrivals++;
      sum.serviceMs += data.serviceMs;
    }
    const output = [...sums].map(([key, sum]) => ({
      key,
      value: JSON.stringify({ topic, partition, ...sum }),
    }));
    await commit(output, (records.at(-1)?.offset as number) + 1);
    this.records += records.length;
  }
}

/** Appends until told to stop, and keeps how long each record waited for its acknowledgement. */
class Load {
  appended = 0;
  readonly ackMs: { ms: number; records: number; endedMs: number }[] = [];
  private sent = 0;
  private stopped = false;
  private readonly records = makeRecords();
  private readonly open = new Set<Promise<void>>();

  constructor(private readonly log: EmbeddedEventLog) {}

  async run(): Promise<void> {
    if (cell.engine === 'one-by-one') await this.oneSender(1);
    else if (cell.ratePerS === undefined)
      await Promise.all(Array.from({ length: SENDERS }, () => this.oneSender(RECORDS_PER_APPEND)));
    else await this.atRate(cell.ratePerS);
    await Promise.all(this.open);
  }

  stop(): void {
    this.stopped = true;
  }

  private async oneSender(records: number): Promise<void> {
    while (!this.stopped) await this.append(records, performance.now());
  }

  /** Open loop: what is due is sent, whatever became of the records before; waits count from when they were due. */
  private async atRate(ratePerS: number): Promise<void> {
    const startMs = performance.now();
    let dueMs = startMs;
    while (!this.stopped) {
      const due = Math.floor(((performance.now() - startMs) * ratePerS) / 1000) - this.sent;
      if (due > 0) {
        const appending: Promise<void> = this.append(due, dueMs).finally(() => this.open.delete(appending));
        this.open.add(appending);
        dueMs = performance.now();
      }
      await delay(TICK_MS);
    }
  }

  private async append(records: number, dueMs: number): Promise<void> {
    const first = this.sent;
    this.sent += records;
    const batch = Array.from(
      { length: records },
      (_, i) => this.records[(first + i) % this.records.length] as NewRecord,
    );
    await this.log.append(INPUT, batch);
    const endedMs = performance.now();
    this.appended += records;
    this.ackMs.push({ ms: endedMs - dueMs, records, endedMs });
  }
}

/** Every wait as often as records had it. */
function ackTimes(load: Load, fromMs: number): Float64Array {
  const measured = load.ackMs.filter(({ endedMs }) => endedMs >= fromMs);
  const waits = new Float64Array(measured.reduce((sum, { records }) => sum + records, 0));
  let end = 0;
  for (const { ms, records } of measured) waits.fill(ms, end, (end += records));
  return waits;
}

async function run(log: EmbeddedEventLog): Promise<CellRun> {
  const topic = { partitions: cell.partitions, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics([
    { name: INPUT, ...topic },
    { name: OUTPUT, ...topic },
  ]);
  const consumer = new Consumer();
  await log.subscribe({
    group: GROUP,
    topics: [INPUT],
    commits: true,
    onBatch: (batch, member) =>
      consumer.take(batch, (records, offset) =>
        member.commit({
          outputs: [{ topic: OUTPUT, records }],
          offsets: [{ topic: INPUT, partition: batch.partition, offset }],
        }),
      ),
    onFailed: (error) => {
      throw error;
    },
  });
  const load = new Load(log);
  const running = load.run();
  await delay(WARM_UP_MS);
  const loopDelay = monitorEventLoopDelay({ resolution: 1 });
  let rss = 0;
  const rssTimer = setInterval(() => (rss = Math.max(rss, process.memoryUsage.rss())), RSS_EVERY_MS);
  loopDelay.enable();
  const [startMs, cpu, appended, consumed] = [
    performance.now(),
    process.cpuUsage(),
    load.appended,
    consumer.records,
  ];
  await delay(MEASURED_MS);
  const seconds = (performance.now() - startMs) / 1000;
  const used = process.cpuUsage(cpu);
  loopDelay.disable();
  clearInterval(rssTimer);
  const appendedPerS = (load.appended - appended) / seconds;
  const consumedPerS = (consumer.records - consumed) / seconds;
  load.stop();
  await running;
  const lag = await log.lag({ group: GROUP, topic: INPUT });
  const endedMs = performance.now();
  while (consumer.records < load.appended) await delay(1);
  const lagClearedMs = performance.now() - endedMs;
  await check(log, load.appended);
  const waits = ackTimes(load, startMs);
  return {
    appendedPerS,
    consumedPerS,
    ackMsP50: quantile(waits, 0.5),
    ackMsP99: quantile(waits, 0.99),
    lagRecords: lag.records,
    lagClearedMs,
    rssMb: rss / 2 ** 20,
    loopDelayMsP99: Math.max(0, loopDelay.percentile(99) / 1e6 - 1),
    cpuUsPerRecord: (used.user + used.system) / (consumedPerS * seconds),
  };
}

/** A log that loses or repeats a record is not fast, it is wrong. */
async function check(log: EmbeddedEventLog, appended: number): Promise<void> {
  let counted = 0;
  for (let partition = 0; partition < cell.partitions; partition++) {
    for (let offset = 0; ;) {
      const records = await log.read({ topic: OUTPUT, partition, offset, maxRecords: 10_000 });
      if (records.length === 0) break;
      for (const { value } of records)
        counted += (JSON.parse(value as string) as { arrivals: number }).arrivals;
      offset = (records.at(-1)?.offset as number) + 1;
    }
  }
  if (counted !== appended)
    throw new Error(`bench:log: the output must count ${appended} records, got ${counted}`);
}

const engine = await newEngine();
const log = await EmbeddedEventLog.open(engine, {
  housekeepingMs: 0,
  ...(cell.engine === 'one-by-one' && { maxDelayMs: 0, maxDelayRecords: 1 }),
});
process.send?.(cell.onlyMake === true ? 'made' : await run(log));
await log.close();
await engine.close();
process.disconnect();
