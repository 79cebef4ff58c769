import { afterAll, expect, test } from '@jest/globals';
import { expectExactAfterKills } from '../exact-after-kills.js';
import { Workplace } from '../headroom-process.js';

const work = new Workplace();
afterAll(() => work.clean());

test('after twenty kills -9 under load every acknowledged event has counted once', async () => {
  const { resent } = await expectExactAfterKills({ work, kills: 20, withinMs: 2000 });
  expect(resent).toBeGreaterThan(0);
}, 300_000);

test('and four more, so close that hardly a start gets through', async () => {
  const other = new Workplace();
  try {
    await expectExactAfterKills({ work: other, kills: 4, withinMs: 200 });
  } finally {
    await other.clean();
  }
}, 120_000);
