import type { DataSource } from 'typeorm';
import type { Random } from '#domain/simulation';
import { NOW_MS, poolName, ROWS_PER_POOL, STEP_MS, type Stores } from './data-set.js';

/** One kind of request to the API, as the store answers it. */
export interface Question {
  name: string;
  /** `opponent`: another way to the same rows. */
  by: 'Headroom' | 'opponent';
  ask(random: Random): Promise<unknown>;
}

/** What a page of the API holds: the default, and the most. */
const PAGE = 50;
const LONGEST_PAGE = 500;

/** Every query of the API, for pools and places by chance. */
export function questions(
  stores: Stores,
  dataSource: DataSource,
  given: { pools: number; decisionIds: number },
): Question[] {
  const { policies, demand, forecasts, decisions } = stores;
  const { pools, decisionIds } = given;
  const bucketS = STEP_MS.demand / 1000;
  const anyPool = (random: Random) => poolName(Math.floor(random() * pools));
  const anyTime = (table: keyof typeof STEP_MS, random: Random) =>
    NOW_MS - Math.floor(random() * ROWS_PER_POOL[table]) * STEP_MS[table];
  const ours: [string, Question['ask']][] = [
    [`demand, newest ${PAGE}`, (r) => demand.page({ pool: anyPool(r), bucketS, limit: PAGE })],
    [
      `demand, ${PAGE} anywhere`,
      (r) => demand.page({ pool: anyPool(r), bucketS, beforeMs: anyTime('demand', r), limit: PAGE }),
    ],
    [
      `demand, ${LONGEST_PAGE} anywhere`,
      (r) => demand.page({ pool: anyPool(r), bucketS, beforeMs: anyTime('demand', r), limit: LONGEST_PAGE }),
    ],
    ['forecast, newest', (r) => forecasts.page({ pool: anyPool(r), limit: 1 })],
    [
      `forecasts, ${PAGE} anywhere`,
      (r) => forecasts.page({ pool: anyPool(r), beforeMs: anyTime('forecasts', r), limit: PAGE }),
    ],
    [`decisions, newest ${PAGE}`, (r) => decisions.page({ pool: anyPool(r), limit: PAGE })],
    [
      `decisions, ${PAGE} anywhere`,
      (r) => decisions.page({ pool: anyPool(r), beforeId: Math.floor(r() * decisionIds), limit: PAGE }),
    ],
    [`policies, ${PAGE}`, (r) => policies.page({ after: anyPool(r), limit: PAGE })],
    ['policy', (r) => policies.get(anyPool(r))],
  ];
  // What a page number instead of a cursor costs: everything before the page is read as well.
  const byOffset: Question['ask'] = (random) =>
    dataSource.query('select bucket from demand where pool = $1 order by start_ms desc limit $2 offset $3', [
      anyPool(random),
      PAGE,
      Math.floor(random() * ROWS_PER_POOL.demand),
    ]);
  return [
    ...ours.map(([name, ask]): Question => ({ name, by: 'Headroom', ask })),
    { name: `demand, ${PAGE} anywhere, by offset`, by: 'opponent', ask: byOffset },
  ];
}

export interface Answered {
  latencyMs: Float64Array;
  /** With {@link TOGETHER} askers at once. */
  togetherMs: Float64Array;
}

const TOGETHER = 8;
const WARM_UP = 50;

/** Asks `count` times one after the other, then as often by several at once. */
export async function askAll(
  { ask }: Question,
  { count, random }: { count: number; random: Random },
): Promise<Answered> {
  for (let i = 0; i < WARM_UP; i++) await ask(random);
  const timed = async () => {
    const startedMs = performance.now();
    await ask(random);
    return performance.now() - startedMs;
  };
  const latencyMs = new Float64Array(count);
  for (let i = 0; i < count; i++) latencyMs[i] = await timed();
  const togetherMs = new Float64Array(count);
  let next = 0;
  const asker = async () => {
    while (next < count) togetherMs[next++] = await timed();
  };
  await Promise.all(Array.from({ length: TOGETHER }, asker));
  return { latencyMs, togetherMs };
}
