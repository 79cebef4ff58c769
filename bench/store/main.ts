// npm run bench:store: the API's queries on a store that is full, on PostgreSQL and on the embedded engine.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedStore, type PostgresSettings, type Store } from '#adapters/store';
import { openPostgresStore } from '#adapters/store/postgres';
import { storeSchema } from '#adapters/store/settings';
import { createRandom } from '#domain/simulation';
import { startPostgres } from '#parts/postgres';
import { progress, publish, quantile } from '../report.js';
import { fill, POOL_ROWS, storesOf } from './data-set.js';
import { askAll, questions, type Answered, type Question } from './questions.js';
import { giveBackADay, type Given } from './retention.js';

const ARGUMENTS = new Set(process.argv.slice(2));
const IS_QUICK = ARGUMENTS.has('--quick');
const SEED = 1;
/** Requests of each kind. */
const COUNT = IS_QUICK ? 200 : 1_000;

interface Engine {
  name: string;
  pools: number;
  open(): Promise<{ store: Store; close(): Promise<void> }>;
}

const ENGINES: Engine[] = [
  { name: 'PostgreSQL', pools: IS_QUICK ? 2 : 100, open: onServer },
  { name: 'embedded', pools: IS_QUICK ? 1 : 10, open: inDirectory },
];

/** As it comes, but for the checkpoints of filling it. */
async function onServer() {
  const server = await startPostgres({ settings: { max_wal_size: '4GB', checkpoint_timeout: '30min' } });
  const settings = storeSchema.parse({ kind: 'postgres', url: server.url, statementTimeoutMs: 600_000 });
  const store = await openPostgresStore(settings as PostgresSettings);
  const close = async () => {
    await store.close();
    await server.stop();
  };
  return { store, close };
}

async function inDirectory() {
  const dataDir = mkdtempSync(join(tmpdir(), 'headroom-bench-store-'));
  const store = await openEmbeddedStore({ dataDir });
  const close = async () => {
    await store.close();
    rmSync(dataDir, { recursive: true });
  };
  return { store, close };
}

interface Run {
  engine: string;
  rows: number;
  answers: { question: Pick<Question, 'name' | 'by'>; answered: Answered }[];
  retention: { dropped: Given; deleted: Given };
}

async function run({ name, pools, open }: Engine): Promise<Run> {
  const { store, close } = await open();
  try {
    const say = (line: string) => progress(`${name}: ${line}`);
    await fill(store, { pools, seed: SEED, progress: say });
    const { dataSource } = store;
    const [{ last }] = await dataSource.query<[{ last: string | number }]>(
      'select max(id) as last from decisions',
    );
    const random = createRandom(SEED + 1);
    const answers: Run['answers'] = [];
    for (const question of questions(storesOf(store), dataSource, { pools, decisionIds: Number(last) })) {
      const answered = await askAll(question, { count: COUNT, random });
      answers.push({ question: { name: question.name, by: question.by }, answered });
      say(`${question.name}: p95 ${quantile(answered.latencyMs, 0.95).toFixed(1)} ms`);
    }
    return { engine: name, rows: pools * POOL_ROWS, answers, retention: await giveBackADay(store) };
  } finally {
    await close();
  }
}

const runs: Run[] = [];
for (const engine of ENGINES) runs.push(await run(engine));

const ms = (values: Float64Array, q: number) => quantile(values, q).toFixed(1);
const head = ['query', 'store', 'rows', 'p50 ms', 'p95 ms', 'p99 ms', 'p95 ms, 8 at once'];
const table = runs.flatMap(({ engine, rows, answers }) =>
  answers.map(({ question, answered: { latencyMs, togetherMs } }) => [
    question.name,
    engine,
    rows.toLocaleString('en'),
    ms(latencyMs, 0.5),
    ms(latencyMs, 0.95),
    ms(latencyMs, 0.99),
    ms(togetherMs, 0.95),
  ]),
);
const HOW = {
  dropped: 'a day of demand dropped',
  deleted: 'a day deleted from one table, and vacuum',
};
for (const { engine, retention } of runs) {
  for (const [how, { durationMs, rows, freedBytes }] of Object.entries(retention) as [
    keyof typeof HOW,
    Given,
  ][]) {
    const what = `${HOW[how]}: ${(freedBytes / 1e6).toFixed(0)} MB back`;
    table.push([what, engine, rows.toLocaleString('en'), durationMs.toFixed(1), '–', '–', '–']);
  }
}
const kept = runs.map(({ answers, ...others }) => ({
  ...others,
  answers: answers.map(({ question, answered }) => ({
    ...question,
    p50Ms: quantile(answered.latencyMs, 0.5),
    p95Ms: quantile(answered.latencyMs, 0.95),
    p99Ms: quantile(answered.latencyMs, 0.99),
    togetherP95Ms: quantile(answered.togetherMs, 0.95),
  })),
}));
publish({ name: 'store', table: [head, ...table], runs: kept }, { docs: ARGUMENTS.has('--docs') });
