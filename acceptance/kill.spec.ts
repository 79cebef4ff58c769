import { afterAll, expect, test } from '@jest/globals';
import { allInOne } from './all-in-one.js';
import { expectExactAfterKills } from './exact-after-kills.js';
import { Workplace } from './headroom-process.js';

const work = new Workplace();
afterAll(() => work.clean());

test('after three kills -9 under load every acknowledged event has counted once', async () => {
  const { resent } = await expectExactAfterKills({ work, deployment: allInOne(), kills: 3, withinMs: 800 });
  expect(resent).toBeGreaterThan(0);
}, 60_000);
