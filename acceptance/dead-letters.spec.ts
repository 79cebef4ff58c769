import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { allInOne } from './all-in-one.js';
import type { Deployed } from './deployment.js';
import { DEADLINE_MS, eventually, Workplace } from './headroom-process.js';
import { completed } from './sent-events.js';

// One story: records are refused, an operator looks why, mends what can be mended, and replays them.

const TIMEOUT_MS = 4 * DEADLINE_MS;
const LATE = 5;
const work = new Workplace();
let deployed: Deployed;

beforeAll(() => startWith({ maxPools: 1 }), DEADLINE_MS);
afterAll(() => work.clean());

async function startWith(ingest: object): Promise<void> {
  deployed = await allInOne().start(work, {
    log: { statusEveryS: 0 },
    deadLetters: { payload: 'keep' },
    ingest,
    pools: { web: { bucketS: 1, seasonsS: [60] } },
  });
}

/** `headroom dead-letters …`, with the key and the configuration of the running program. */
async function letters(...args: string[]) {
  const config = ['--config', `${work.folder}/headroom.yaml`, '--data-dir', work.dataDir];
  const command = work.headroom('dead-letters', ...args, ...config);
  const { code } = await command.ended;
  return { code, lines: command.stdout.trim().split('\n'), stderr: command.stderr };
}
const lettersLeft = (count: number) =>
  eventually(`${count} letters`, async () => {
    const { lines } = await letters('list');
    return lines.length === count ? lines : undefined;
  });
/** 0 while the pool is not known. */
const arrivals = async (pool: string) => {
  const { status, body } = await deployed.api.get<{ items: { arrivals: number }[] }>(
    `/v1/pools/${pool}/demand`,
  );
  return status === 200 ? body.items.reduce((sum, bucket) => sum + bucket.arrivals, 0) : 0;
};

test(
  'what counts nowhere is listed with its reason, and shown as it came',
  async () => {
    const now = Date.now();
    const events = [
      ...Array.from({ length: LATE }, (_, i) =>
        completed({ id: `late-${i}`, pool: 'late', queuedAtMs: now }),
      ),
      completed({ id: 'old', pool: 'web', queuedAtMs: now - 86_400_000 }),
    ];
    expect((await deployed.api.send('POST', '/v1/events', { body: events })).status).toBe(202);
    await lettersLeft(LATE + 1);
    const { lines } = await letters(
      'list',
      '--reason',
      'too_old',
      '--source',
      'executions.v1',
      '--from',
      '1h',
    );
    expect(lines).toEqual([
      expect.stringMatching(/^0\/\d .* too_old +executions\.v1\[\d\]@\d+ {2}queuedAtMs /),
    ]);
    const [place] = (lines[0] as string).split(' ') as [string];
    const shown = await letters('show', place);
    expect(shown.lines).toContain('key       old');
    expect(JSON.parse(shown.lines.at(-1) as string)).toEqual(events.at(-1));
  },
  TIMEOUT_MS,
);

test(
  'once there is room for the pool, its events count, each once, however often they are replayed',
  async () => {
    await deployed.stop();
    await startWith({ maxPools: 2 });
    for (let times = 0; times < 2; times++) {
      const { code, lines } = await letters('replay', '--reason', 'too_many_pools', '--limit', '100');
      expect({ code, lines }).toEqual({ code: 0, lines: [`${LATE} replayed, 0 refused`] });
    }
    await eventually('all demand', async () => (await arrivals('late')) === LATE || undefined);
    await eventually('the duplicates', async () => {
      const metrics = await deployed.api.metrics();
      return metrics.get('headroom_ingest_records_total{outcome="duplicate"}') === LATE || undefined;
    });
    expect(await arrivals('late')).toBe(LATE);
    const metrics = await deployed.api.metrics();
    expect(metrics.get('headroom_replayed_dead_letters_total{outcome="replayed"}')).toBe(2 * LATE);
    await lettersLeft(LATE + 1);
  },
  TIMEOUT_MS,
);

test(
  'what stays wrong dies again with a count, and not for ever',
  async () => {
    for (let replays = 1; replays <= 3; replays++) {
      const [newest] = (await letters('list', '--reason', 'too_old', '--limit', '1')).lines as [string];
      const [place] = newest.split(' ') as [string];
      expect(await letters('replay', place)).toMatchObject({ code: 0, lines: ['1 replayed, 0 refused'] });
      const lines = await lettersLeft(LATE + 1 + replays);
      expect(lines[0]).toMatch(new RegExp(`too_old .* \\(replayed ${replays}×\\) `));
    }
    const [newest] = (await letters('list', '--limit', '1')).lines as [string];
    const [place] = newest.split(' ') as [string];
    expect(await letters('replay', place)).toMatchObject({
      code: 1,
      lines: [expect.stringContaining('too_many_replays'), '0 replayed, 1 refused'],
    });
  },
  TIMEOUT_MS,
);
