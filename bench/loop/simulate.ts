// npm run bench:loop -- --simulate: the same comparison in simulateLoop, on other seeds. Says what to expect of the rules
// themselves, on a machine that disturbs nobody, and is where settings are tried: never on the scored seeds.
import { arrivalsOf } from '#adapters/sources';
import { createRandom, simulateLoop, type LoopObservation } from '#domain/simulation';
import { hpaControl, hpaSettings, tuneHpa, VIEW_AGE_S } from './hpa-tuning.js';
import {
  BOUNDS,
  DEFAULT_HOLD_S,
  flashSecond,
  historyRates,
  loadOf,
  OBJECTIVE,
  SERVICE_MS,
  SHORT_HOLD_S,
  SLOTS,
  START_S,
  WARM_UP_S,
} from './setting.js';
import { simulatedHeadroom } from './simulated-headroom.js';

/** None of them is scored. */
export const OTHER_SEEDS = Array.from({ length: 18 }, (_, i) => 101 + i);

type Control = (observation: LoopObservation) => number;

interface Candidate {
  name: string;
  control(seed: number): Control;
  initialWorkers?: number;
}

const headroom = (policy: { mode: 'predictive' | 'reactive'; violationPrice: number; holdS: number }) => {
  const { mode, violationPrice, holdS } = policy;
  const name = mode === 'reactive' ? mode : `${mode}, price ${violationPrice}`;
  return {
    name: `${name}, hold ${Number(holdS.toFixed(1))} s`,
    control: (seed: number) =>
      simulatedHeadroom({
        policy: { mode, violationPrice, scaleIn: { holdS } },
        history: historyArrivals(seed),
        seed,
      }),
  };
};
const HOLDS_S = [SHORT_HOLD_S, START_S, DEFAULT_HOLD_S, 15, 20];
/** The first is the default. */
const PRICES = [25, 40, 50, 100];

const FULL: Candidate = {
  name: 'full fleet',
  control: () => () => BOUNDS.maxWorkers,
  initialWorkers: BOUNDS.maxWorkers,
};
const CANDIDATES: Candidate[] = [
  FULL,
  { name: 'HPA rule, stock (80 %)', control: () => hpaControl(hpaSettings()) },
  {
    name: 'HPA rule, tuned on the history',
    control: (seed) => hpaControl(hpaSettings(tuneHpa(seed).chosen)),
  },
  ...[SHORT_HOLD_S, DEFAULT_HOLD_S].map((holdS) => headroom({ mode: 'reactive', violationPrice: 25, holdS })),
  ...PRICES.flatMap((violationPrice) =>
    HOLDS_S.map((holdS) => headroom({ mode: 'predictive', violationPrice, holdS })),
  ),
];

/** Where the violating requests of a day lie. */
const PARTS = ['flash crowd', 'lunch', 'rest'] as const;
type Part = (typeof PARTS)[number];
/** Of the flash crowd: until its backlog is gone. */
const FLASH_S = 15;
/** Around noon. */
const LUNCH = { fromS: 105, toS: 140 };

interface Day {
  requests: number;
  violating: Record<Part, number>;
  violationSeconds: number;
  workerSeconds: number;
}

/** Column heads, then a row per candidate: means over the seeds. */
export function simulatedTable(seeds: number[], note: (line: string) => void): string[][] {
  const full = seeds.map((seed) => simulateDay(FULL, seed));
  const rows = CANDIDATES.map((candidate) => {
    note(`simulate: ${candidate.name}`);
    return row(
      candidate.name,
      seeds.map((seed) => simulateDay(candidate, seed)),
      full,
    );
  });
  const head = [
    'rule',
    'violating, %',
    'beyond the full fleet',
    ...PARTS,
    'violation seconds',
    'worker-seconds',
  ];
  return [head, ...rows];
}

function row(name: string, days: Day[], full: Day[]): string[] {
  const mean = (of: Day[], figure: (day: Day) => number) =>
    of.reduce((sum, day) => sum + figure(day), 0) / of.length;
  const all = ({ violating }: Day) => PARTS.reduce((sum, part) => sum + violating[part], 0);
  const beyond = (figure: (day: Day) => number) => (mean(days, figure) - mean(full, figure)).toFixed(0);
  return [
    name,
    ((100 * mean(days, all)) / mean(days, ({ requests }) => requests)).toFixed(2),
    beyond(all),
    ...PARTS.map((part) => beyond(({ violating }) => violating[part])),
    mean(days, ({ violationSeconds }) => violationSeconds).toFixed(1),
    mean(days, ({ workerSeconds }) => workerSeconds).toFixed(0),
  ];
}

/** The warm-up is part of the run; its requests are not counted. */
function simulateDay({ control, initialWorkers = 2 }: Candidate, seed: number): Day {
  const run = simulateLoop({
    ratesPerS: loadOf('a', seed).ratesPerS,
    serviceMs: SERVICE_MS,
    slotsPerWorker: SLOTS,
    leadTimeS: START_S + VIEW_AGE_S,
    objective: OBJECTIVE,
    initialWorkers,
    seed: seed * 17 + 3,
    control: control(seed),
  });
  const flashS = flashSecond(seed);
  const violating: Day['violating'] = { 'flash crowd': 0, lunch: 0, rest: 0 };
  run.violatingPerS.forEach((count, i) => {
    const second = i - WARM_UP_S;
    if (second < 0) return;
    violating[partOf(second, flashS)] += count;
  });
  const requests = run.requestsPerS.slice(WARM_UP_S).reduce((sum, count) => sum + count, 0);
  const { violationSeconds, workerSeconds } = run;
  return { requests, violating, violationSeconds, workerSeconds };
}

function partOf(second: number, flashS: number): Part {
  if (second >= flashS && second < flashS + FLASH_S) return 'flash crowd';
  return second >= LUNCH.fromS && second < LUNCH.toS ? 'lunch' : 'rest';
}

/** Poisson arrivals per second of the days before the run. */
function historyArrivals(seed: number): number[] {
  const rates = historyRates(seed).slice(0, -WARM_UP_S);
  const counts = rates.map(() => 0);
  const steps = rates.map((ratePerS) => ({ durationMs: 1000, ratePerS }));
  for (const atMs of arrivalsOf(steps, createRandom(seed * 31 + 7))) {
    const second = Math.floor(atMs / 1000);
    counts[second] = (counts[second] as number) + 1;
  }
  return counts;
}
