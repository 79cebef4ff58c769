import { expect } from '@jest/globals';
import type { Deployment } from './deployment.js';
import { DEMO_HANDLERS, type Workplace } from './headroom-process.js';
import { killAgainAndAgain, stateAfter } from './killed-program.js';

const SENDERS = 4;

/** Runs the story of killed-program.ts with a seed by chance, which is printed, and checks what must hold after it. */
export async function expectExactAfterKills(given: {
  work: Workplace;
  deployment: Deployment;
  kills: number;
  withinMs: number;
  seed?: number;
}): Promise<{ acknowledged: number; resent: number }> {
  const { work, deployment, kills, withinMs, seed = Math.floor(Math.random() * 2 ** 32) } = given;
  process.stdout.write(`${kills} kills, ${deployment.name}, seed ${seed}\n`);
  const pool = 'web';
  const deployed = await deployment.start(work, {
    log: { statusEveryS: 0, level: 'warn' },
    pools: { [pool]: { bucketS: 1, seasonsS: [60], worker: { handlers: DEMO_HANDLERS } } },
  });
  const after = await killAgainAndAgain({ deployed, pool, kills, withinMs, seed, senders: SENDERS });
  const state = await stateAfter(after, pool);
  const { acknowledged, resent, seen } = after;
  process.stdout.write(
    `${kills} kills: ${acknowledged} executions acknowledged, ${resent} requests sent again\n`,
  );
  expect({ seed, arrivals: state.arrivals, completions: state.completions }).toEqual({
    seed,
    arrivals: acknowledged,
    completions: acknowledged,
  });
  expect(state.policyVersion).toBe(seen.policyVersion);
  expect(seen.decisions.size).toBeGreaterThan(0);
  for (const [id, firstAt] of seen.decisions) expect(state.decisions.get(id)).toBe(firstAt);
  return { acknowledged, resent };
}
