import { expect } from '@jest/globals';
import { ApiClient } from './api-client.js';
import { DEMO_HANDLERS, freePorts, type Workplace } from './headroom-process.js';
import { killAgainAndAgain, stateAfter } from './killed-program.js';

const SENDERS = 4;

/** Runs the story of killed-program.ts with a seed by chance, which is printed, and checks what must hold after it. */
export async function expectExactAfterKills(given: {
  work: Workplace;
  kills: number;
  withinMs: number;
  seed?: number;
  /** More of the configuration. */
  config?: object;
}): Promise<{ resent: number }> {
  const { work, kills, withinMs, seed = Math.floor(Math.random() * 2 ** 32), config = {} } = given;
  process.stdout.write(`${kills} kills, seed ${seed}\n`);
  const [apiPort, routerPort] = await freePorts(2);
  const pool = 'web';
  const configFile = work.write('headroom.yaml', {
    ...config,
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0, level: 'warn' },
    pools: { [pool]: { bucketS: 1, seasonsS: [60], worker: { handlers: DEMO_HANDLERS } } },
  });
  const start = () => work.start(configFile);
  const connect = async () => new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
  const plan = { kills, withinMs, seed, senders: SENDERS };
  const after = await killAgainAndAgain({ start, connect, pool, ...plan });
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
  return { resent };
}
