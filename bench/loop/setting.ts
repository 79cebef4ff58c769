import { join } from 'node:path';
import { PROJECT_DIR } from '../report.js';
import { configSchema, type Config } from '../../apps/headroom/config.js';
import type { Policy } from '#domain/scaling';
import { syntheticDay, type Spread } from '#domain/simulation';

// What every cell of the bench has in common. Times are seconds of a day compressed to SEASON_S: 1/360 of a real one.

export const POOL = 'demo';
export const SEASON_S = 240;
export const HISTORY_DAYS = 3;
/** The last seconds of the day before are sent and not scored, so that every system starts the day with its own fleet. */
export const WARM_UP_S = 25;
export const PEAK_RPS = 300;
export const SLOTS = 2;
/** handlers/demo: a timed wait, lognormal. */
export const SERVICE_MS: Spread = { mean: 20, cv: 0.5 };
export const BOUNDS = { minWorkers: 1, maxWorkers: 10 };
export const OBJECTIVE = { responseMs: 50, quantile: 0.95 };
/** From the order of a worker to its first request, with the boot of its process. */
export const START_S = 5;
/** Of that, the boot as measured on this class of machine. */
const BOOT_S = 0.35;
/** The default scale-in hold here, two starts: what is let go is not wanted again before it could have come back. */
export const DEFAULT_HOLD_S = 2 * START_S;
/** Ten minutes of a real day. */
export const SHORT_HOLD_S = SEASON_S / 144;
/** The second design: what simulation on other seeds found to be as dear as the tuned HPA rule, and better. */
export const INSURED = {
  violationPrice: 50,
  scaleIn: { holdS: 3 * START_S, maxWorkersPerMinute: 10_000 },
};
/** As much as one worker can do when it never rests. */
export const RAW_RATE_PER_S = (SLOTS * 1000) / SERVICE_MS.mean;
/** An event-loop delay is measured at this rate, on the full fleet. */
export const HOLD_RPS = 500;
export const HOLD_S = 30;

/** Expected arrivals of each second of one day. */
export function dayRates(seed: number, day: number): number[] {
  return syntheticDay({ seed, seasonS: SEASON_S, peakRps: PEAK_RPS, day });
}

/** When the flash crowd of the scored day begins: where its rate jumps most from one second to the next. */
export function flashSecond(seed: number): number {
  const rates = dayRates(seed, HISTORY_DAYS);
  const jumps = rates.map((rate, second) => rate - (rates[second - 1] ?? rate));
  return jumps.indexOf(Math.max(...jumps));
}

export function historyRates(seed: number): number[] {
  return Array.from({ length: HISTORY_DAYS }, (_, day) => dayRates(seed, day)).flat();
}

/**
 * `a` predictive with the default policy, `a2` with more insurance, `b` reactive, `c1` the HPA rule as shipped, `c2` the
 * same tuned on the history, `d` the full fleet; `hold`: the full fleet at a constant rate, for the event-loop delay.
 */
export const SYSTEMS = ['a', 'c2', 'b', 'd', 'c1', 'a2', 'hold'] as const;
export type System = (typeof SYSTEMS)[number];

export const SYSTEM_NAMES: Record<System, string> = {
  a: 'Headroom, predictive',
  a2: `Headroom, predictive, price ${INSURED.violationPrice}, hold ${INSURED.scaleIn.holdS} s`,
  b: 'Headroom, reactive',
  c1: 'HPA rule, stock (80 %)',
  c2: 'HPA rule, tuned on the history',
  d: 'full fleet',
  hold: `full fleet at ${HOLD_RPS}/s`,
};

const OWN_POLICY: Partial<Record<System, Partial<Policy>>> = {
  a: { mode: 'predictive' },
  a2: { mode: 'predictive', ...INSURED },
  b: { mode: 'reactive' },
};

/** Everything but the policies above, and the full fleet's bounds, is what `headroom start` would use. */
export function configOf(system: System, ports: { api: number; router: number }): Config {
  const policy = OWN_POLICY[system] ?? { mode: 'observe' };
  const isFull = system === 'd' || system === 'hold';
  const bounds = isFull ? { ...BOUNDS, minWorkers: BOUNDS.maxWorkers } : BOUNDS;
  return configSchema.parse({
    api: { port: ports.api },
    router: { port: ports.router },
    pools: {
      [POOL]: {
        bucketS: 1,
        seasonsS: [SEASON_S],
        latenessS: 2,
        worker: {
          handlers: join(PROJECT_DIR, 'handlers', 'demo'),
          slots: SLOTS,
          startDelayMs: Math.round((START_S - BOOT_S) * 1000),
        },
        policy: { ...policy, objective: OBJECTIVE, bounds },
      },
    },
  });
}

/** What the sender sends: a step per second, the warm-up first. */
export function loadOf(system: System, seed: number): { ratesPerS: number[]; scoredS: number } {
  if (system === 'hold') {
    return { ratesPerS: Array.from({ length: WARM_UP_S + HOLD_S }, () => HOLD_RPS), scoredS: HOLD_S };
  }
  const before = dayRates(seed, HISTORY_DAYS - 1).slice(-WARM_UP_S);
  return { ratesPerS: [...before, ...dayRates(seed, HISTORY_DAYS)], scoredS: SEASON_S };
}
