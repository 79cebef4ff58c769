// npm run bench:ingest: a filled topic counted by one ingest on one core, beside readers that do less. Linux only (/proc).
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Client } from 'pg';
import { EmbeddedEventLog, topicSpecs } from '#adapters/event-log';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { openEmbeddedStore } from '#adapters/store';
import { startKafka } from '#parts/kafka';
import { startPostgres } from '#parts/postgres';
import { median, progress, publish, quantile } from '../report.js';
import { forgetIngest, makeFilledTopic } from './filled-topic.js';
import { withIngest } from './ingest-process.js';
import { pin } from './linux-process.js';
import { figuresOf, type Figures, type Reader, type Sighting } from './measured-run.js';
import {
  CORES,
  DEDUPE_WINDOW_S,
  EVENT_BYTES,
  EventMaker,
  kafkaSettings,
  PARTITIONS,
  RATE_PER_S,
  TOPIC,
} from './setting.js';
import { PROBE_BUCKET_S, PROBE_POOLS, visibleDemand } from './visible-demand.js';

const ARGUMENTS = new Set(process.argv.slice(2));
const IS_QUICK = ARGUMENTS.has('--quick');
const ROUNDS = IS_QUICK ? 1 : 3;
/** Events that a run of a round reads, and those that lie in the topic. */
const EVENTS = IS_QUICK ? 1_500_000 : 3_000_000;
const HOUR_EVENTS = 3600 * RATE_PER_S;
const FILLED = ARGUMENTS.has('--hour') ? HOUR_EVENTS : IS_QUICK ? 2_000_000 : 10_000_000;
/** Slower readers get fewer. */
const NEST_EVENTS = Math.min(EVENTS, 1_000_000);
const EMBEDDED_EVENTS = 200_000;
const LIVE_S = IS_QUICK ? 10 : 60;

type Row = Reader | 'ingest' | 'embedded';
const NAMES: Record<Row, string> = {
  discard: 'read by the same client, and discarded',
  parse: 'read, and JSON.parse',
  kafkajs: 'read by kafkajs’s own consumer, and JSON.parse',
  nest: 'handler of NestJS’s Kafka transport',
  ingest: 'ingest, effectively once',
  embedded: 'ingest on the embedded log and store',
};

pin(process.pid, CORES.others);
const kafka = await startKafka({ properties: { 'log.retention.check.interval.ms': 3_600_000 } });
const postgres = await startPostgres({ settings: { max_wal_size: '4GB' } });
const brokers = kafka.bootstrap;
let databases = 0;

async function openLog(): Promise<KafkaEventLog> {
  const log = await KafkaEventLog.open(kafkaSettings(brokers));
  await log.ensureTopics(topicSpecs({ partitions: PARTITIONS, dedupeWindowS: DEDUPE_WINDOW_S }));
  return log;
}

async function read(reader: Reader, events: number): Promise<Figures> {
  const script = join(import.meta.dirname, 'reader.process.js');
  const child: ChildProcess = fork(script, [brokers, reader, String(events)]);
  pin(child.pid as number, CORES.reader);
  const ended = once(child, 'exit');
  const failed = ended.then(([code]) => {
    throw new Error(`bench:ingest: a reader must end with its figures, got exit code ${code}`);
  });
  const [sightings] = (await Promise.race([once(child, 'message'), failed])) as [Sighting[]];
  failed.catch(() => undefined);
  await ended;
  return figuresOf(sightings, events);
}

/** Kafka and PostgreSQL without anything that an ingest before has left, the events excepted. */
async function freshConfig() {
  await forgetIngest(brokers);
  const name = `bench${databases++}`;
  const client = new Client(postgres.url);
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = Object.assign(new URL(postgres.url), { pathname: `/${name}` }).href;
  return { eventLog: kafkaSettings(brokers), store: { kind: 'postgres', url }, pools: PROBE_POOLS };
}

async function ingest(events: number): Promise<Figures> {
  return withIngest(await freshConfig(), async (start) => {
    const program = await start();
    const figures = figuresOf(await program.until(events), events);
    await program.stop();
    return figures;
  });
}

/** The same program with its log and store in the data directory. */
async function onEmbedded(events: number): Promise<Figures> {
  return withIngest({}, async (start, dataDir) => {
    const store = await openEmbeddedStore({ dataDir: join(dataDir, 'store') });
    const log = await EmbeddedEventLog.open(store.engine);
    await log.ensureTopics(topicSpecs({ partitions: PARTITIONS, dedupeWindowS: DEDUPE_WINDOW_S }));
    const maker = new EventMaker(1);
    for (let made = 0; made < events;) {
      const records = Array.from({ length: 1_000 }, () => maker.next(Date.now())).flat();
      await log.append(TOPIC, records);
      made += records.length;
    }
    await log.close();
    await store.close();
    const program = await start();
    const figures = figuresOf(await program.until(events), events);
    await program.stop();
    return figures;
  });
}

const RUNS: Record<Row, () => Promise<Figures>> = {
  discard: () => read('discard', EVENTS),
  parse: () => read('parse', EVENTS),
  kafkajs: () => read('kafkajs', EVENTS),
  nest: () => read('nest', NEST_EVENTS),
  ingest: () => ingest(EVENTS),
  embedded: () => onEmbedded(EMBEDDED_EVENTS),
};

interface Long {
  catchUp: Figures;
  /** RSS when a tenth, a half and all of the events were counted. */
  rssMb: number[];
  restart: { records: number; durationMs: number; readyMs: number };
  countedMs: number[];
  closedMs: number[];
}

/** All events, then a restart, then events as they come. */
async function longRun(): Promise<Long> {
  return withIngest(await freshConfig(), async (start) => {
    const first = await start();
    let told = 0;
    const sightings = await first.until(FILLED, ({ events, rssMb }) => {
      if (Math.floor(events / 1e6) > told)
        progress(`catching up: ${(told = Math.floor(events / 1e6))} M events, ${rssMb.toFixed(0)} MB`);
    });
    await first.stop();
    const again = await start();
    const readyMs = await again.ready();
    const restart = { ...again.replayed(), readyMs };
    progress(`restart: ${restart.records} records in ${(restart.durationMs / 1000).toFixed(1)} s`);
    const live = await visibleDemand(brokers, { durationS: LIVE_S });
    await again.stop();
    const rssAt = (share: number) =>
      sightings.find(({ events }) => events >= share * FILLED)?.rssMb ?? Number.NaN;
    return {
      catchUp: figuresOf(sightings, FILLED),
      rssMb: [0.1, 0.5, 1].map(rssAt),
      restart,
      countedMs: [0.5, 0.99].map((q) => quantile(live.countedMs, q)),
      closedMs: [0.5, 0.99].map((q) => quantile(live.closedMs, q)),
    };
  });
}

const rounds: { row: Row; figures: Figures }[] = [];
let long: Long;
try {
  pin(kafka.pid, CORES.others);
  pin(postgres.pid, CORES.others);
  await makeFilledTopic({ brokers, log: openLog }, FILLED);
  for (let round = 0; round < ROUNDS; round++) {
    for (const row of Object.keys(RUNS) as Row[]) {
      const figures = await RUNS[row]();
      rounds.push({ row, figures });
      progress(
        `${NAMES[row]}: ${Math.round(figures.eventsPerS)}/s, ${figures.cpuUsPerEvent.toFixed(1)} µs CPU`,
      );
    }
  }
  long = await longRun();
} finally {
  await kafka.stop();
  await postgres.stop();
}

const of = (row: Row, figure: keyof Figures) =>
  median(rounds.filter((run) => run.row === row).map(({ figures }) => figures[figure]));
const head = ['reader', 'events/s', '÷ JSON.parse', 'CPU µs/event', 'MB/s', 'RSS MB'];
const lineOf = (name: string, figure: (name: keyof Figures) => number) => [
  name,
  Math.round(figure('eventsPerS')),
  (figure('eventsPerS') / of('parse', 'eventsPerS')).toFixed(2),
  figure('cpuUsPerEvent').toFixed(1),
  ((figure('eventsPerS') * EVENT_BYTES) / 1e6).toFixed(0),
  figure('rssMb').toFixed(0),
];
const rows = (Object.keys(RUNS) as Row[]).map((row) => lineOf(NAMES[row], (figure) => of(row, figure)));
const { catchUp, rssMb, restart, countedMs, closedMs } = long;
const millions = (FILLED / 1e6).toFixed(1);
const rss = rssMb.map((mb) => mb.toFixed(0)).join(' → ');
const times = ([p50 = NaN, p99 = NaN]: number[]) => `${p50.toFixed(0)} / ${p99.toFixed(0)} ms`;
const single = (name: string, figure: string) => [name, figure, '', '', '', ''];
const table = [
  head,
  ...rows,
  lineOf(`ingest, ${millions} M events in one go`, (figure) => catchUp[figure]),
  single('RSS MB at a tenth, half and all of them', rss),
  single(`as fast as they came (${RATE_PER_S}/s), times`, (catchUp.eventsPerS / RATE_PER_S).toFixed(1)),
  single('records read again by a restart', String(restart.records)),
  single('… a second', String(Math.round((restart.records * 1000) / restart.durationMs))),
  single(`event → in demand.v1 at ${RATE_PER_S}/s, p50 / p99`, times(countedMs)),
  single(`event → in a closed bucket of ${PROBE_BUCKET_S} s, p50 / p99`, times(closedMs)),
];
publish({ name: 'ingest', table, runs: { rounds, long } }, { docs: ARGUMENTS.has('--docs') });
