import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ApiClient } from './api-client.js';
import type { Deployed, Deployment } from './deployment.js';
import { DEADLINE_MS, eventually, Workplace } from './headroom-process.js';
import { completed, type SentEvent } from './sent-events.js';

// Poison through the API of a running program (docs/ARCHITECTURE.md, "Bad input"): each kind is refused or set aside
// with its reason and counted, and what is good among it counts.

const POOL = 'web';
/** JSON.parse takes it; whatever walks it by recursion runs out of stack. */
const DEEP = `${'['.repeat(15_000)}${']'.repeat(15_000)}`;
/** Samples that count what must not happen. */
const FAILURES =
  /^headroom_consumer_failures_total|^headroom_loop_runs_total\{.*"failed"|outcome="(gap|unreadable)"/;
const DUPLICATES = 'headroom_ingest_records_total{outcome="duplicate"}';
/** Whoever is asked this looks whether the pool has a policy by now. */
const HISTORY_OF_THIRD = '/v1/pools/third/history?name=any';

interface Taken {
  accepted: number;
  refused: { index: number; reason: string; detail: string }[];
}

export function badInputSuite(deployment: Deployment): void {
  describe(`bad input: ${deployment.name}`, () => {
    const withinMs = deployment.slowness * DEADLINE_MS;
    const work = new Workplace();
    let deployed: Deployed;
    let api: ApiClient;
    /** Before any input: processes that start together may have missed each other. */
    let failuresOfStart: unknown;
    /** Executions that must count. */
    let good = 0;

    beforeAll(async () => {
      const config = {
        log: { statusEveryS: 0 },
        ingest: { maxPools: 2 },
        deadLetters: { payload: 'keep' },
        pools: { [POOL]: { bucketS: 1, seasonsS: [60], latenessS: 1 } },
      };
      deployed = await deployment.start(work, config);
      ({ api } = deployed);
      failuresOfStart = await failures();
    }, withinMs);
    afterAll(() => work.clean());

    const post = (body: unknown) => api.send<Taken>('POST', '/v1/events', { body });
    const fresh = (id: string, queuedAtMs = Date.now() - 25) => completed({ id, pool: POOL, queuedAtMs });
    const changed = (event: SentEvent, patch: object) => ({ ...event, ...patch });
    const withData = (event: SentEvent, patch: object) => ({ ...event, data: { ...event.data, ...patch } });

    async function counter(sample: string): Promise<number> {
      return (await api.metrics()).get(sample) ?? 0;
    }
    const counted = (sample: string, value: number) =>
      eventually(`${sample} at ${value}`, async () => (await counter(sample)) === value || undefined);

    async function failures() {
      const samples = [...(await api.metrics())].filter(([key]) => FAILURES.test(key));
      return { samples, logged: deployed.errors };
    }

    async function arrivals(pool = POOL): Promise<number> {
      const buckets = await api.all<{ arrivals: number }>(`/v1/pools/${pool}/demand`);
      return buckets.reduce((sum, bucket) => sum + bucket.arrivals, 0);
    }

    describe('refused by the API, with the reason', () => {
      test('each wrong event of a batch, and not its neighbours', async () => {
        const wrong: [reason: string, event: unknown][] = [
          ['unknown_type', 'no event at all'],
          ['unknown_type', null],
          ['unknown_type', changed(fresh('a'), { type: 'com.example.other.v1' })],
          ['unknown_version', changed(fresh('b'), { type: 'com.headroom.execution.completed.v2' })],
          ['invalid', changed(fresh('c'), { subject: undefined })],
          ['invalid', withData(fresh('d'), { queuedAtMs: -1 })],
          ['invalid', withData(fresh('e'), { queuedAtMs: null })], // what JSON makes of NaN
          ['invalid', withData(fresh('f'), { endedAtMs: 1 })],
          ['invalid', withData(fresh('g'), { pool: 'Not A Pool' })],
          ['invalid', withData(fresh('i'), { note: 'DEEP' })],
          ['oversized', changed(fresh('h'), { padding: 'x'.repeat(16_384) })],
        ];
        const batch = wrong.flatMap(([, event], i) => [fresh(`neighbour-${i}`), event]);
        const text = JSON.stringify(batch).replace('"DEEP"', DEEP);
        const { status, body } = await api.send<Taken>('POST', '/v1/events', { text });
        expect(status).toBe(202);
        expect(body.accepted).toBe(wrong.length);
        expect(body.refused.map(({ index, reason }) => [index, reason])).toEqual(
          wrong.map(([reason], i) => [2 * i + 1, reason]),
        );
        for (const { detail } of body.refused) expect(detail).not.toBe('');
        good += wrong.length;
        const metrics = await api.metrics();
        const outcomes = [...Map.groupBy(wrong, ([reason]) => reason)].map(([reason, events]) => [
          reason,
          events.length,
        ]);
        for (const [reason, events] of outcomes)
          expect([reason, metrics.get(`headroom_api_events_total{outcome="${reason}"}`)]).toEqual([
            reason,
            events,
          ]);
        expect(metrics.get('headroom_api_events_total{outcome="accepted"}')).toBe(good);
      });

      test.each([
        ['a batch of more events than allowed, one too deep', `[${'0,'.repeat(1000)}${DEEP}]`, 422],
        ['half an object', '{"specversion":', 400],
        ['NaN, which JSON does not have', `[${JSON.stringify(fresh('nan'))}, NaN]`, 400],
        ['nothing', '', 400],
        ['an empty batch', '[]', 422],
        ['more events than a request may have', JSON.stringify(Array(1001).fill(0)), 422],
        ['a body over its limit', JSON.stringify('x'.repeat(1_048_576)), 413],
      ])('%s', async (_name, text, expected) => {
        const { status, headers } = await api.send('POST', '/v1/events', { text });
        expect(status).toBe(expected);
        expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
      });

      test('a policy that is too deep', async () => {
        const text = `{"mode":"predictive","bounds":${DEEP}}`;
        const headers = { 'if-none-match': '*' };
        const { status, body } = await api.send('PUT', '/v1/policies/deep', { text, headers });
        expect({ status, body }).toMatchObject({
          status: 400,
          body: { type: 'urn:headroom:malformed-request' },
        });
      });

      test('a number beyond all numbers, which JSON can have', async () => {
        const text = JSON.stringify(fresh('inf')).replace(/"queuedAtMs":\d+/, '"queuedAtMs":1e999');
        const { status, body } = await api.send('POST', '/v1/events', { text });
        expect({ status, body }).toMatchObject({
          status: 202,
          body: { accepted: 0, refused: [{ reason: 'invalid' }] },
        });
      });
    });

    describe('set aside, corrected or counted once by ingest', () => {
      test(
        'future-dated and too old: dead letters',
        async () => {
          const hourMs = 3_600_000;
          const untimely = [
            fresh('tomorrow', Date.now() + 24 * hourMs),
            fresh('in-two-minutes', Date.now() + 120_000),
            fresh('yesterday', Date.now() - 24 * hourMs),
          ];
          expect(await post(untimely)).toMatchObject({ status: 202, body: { accepted: 3 } });
          await counted('headroom_ingest_dead_letters_total{reason="future"}', 2);
          await counted('headroom_ingest_dead_letters_total{reason="too_old"}', 1);
        },
        withinMs,
      );

      test(
        'a pool too many: dead letters, and the pools that are there go on',
        async () => {
          await post(completed({ id: 'second', pool: 'second', queuedAtMs: Date.now() }));
          await eventually('the second pool', async () => {
            return (await api.get('/v1/policies/second')).status === 200 || undefined;
          });
          await post(completed({ id: 'third', pool: 'third', queuedAtMs: Date.now() }));
          await counted('headroom_ingest_dead_letters_total{reason="too_many_pools"}', 1);
          expect((await api.get('/v1/policies/third')).status).toBe(404);
        },
        withinMs,
      );

      test(
        'duplicates: counted once, however they come',
        async () => {
          const before = await counter(DUPLICATES);
          const event = fresh('again');
          expect(await post([event, event, fresh('other')])).toMatchObject({ body: { accepted: 3 } });
          expect(await post(event)).toMatchObject({ body: { accepted: 1 } });
          const another = changed(event, { id: 'another id of the same execution' });
          expect(await post([another])).toMatchObject({ body: { accepted: 1 } });
          good += 2;
          await counted(DUPLICATES, before + 3);
        },
        withinMs,
      );

      test(
        'late: corrects its bucket',
        async () => {
          // Enough of them that every partition has seen a time that makes the others late.
          const executions = (name: string, queuedAtMs: number) =>
            Array.from({ length: 40 }, (_, i) => fresh(`${name}-${i}`, queuedAtMs));
          await post(executions('now', Date.now() - 25));
          const startMs = Math.floor(Date.now() / 1000) * 1000 - 120_000; // before anything else of this suite
          expect(await post(executions('late', startMs + 1))).toMatchObject({ body: { accepted: 40 } });
          good += 80;
          await counted('headroom_ingest_records_total{outcome="late"}', 40);
          await eventually('the corrected bucket', async () => {
            const buckets = await api.all<{ start: string; arrivals: number }>(`/v1/pools/${POOL}/demand`);
            const bucket = buckets.find(({ start }) => Date.parse(start) === startMs);
            return bucket?.arrivals === 40 || undefined;
          });
        },
        withinMs,
      );
    });

    test(
      'the loop has gone on: exact demand, new forecasts and decisions, nothing failed',
      async () => {
        await post(fresh('last'));
        good += 1;
        await eventually('all demand', async () => (await arrivals()) === good || undefined);
        const newest = async () => {
          const [forecast] = (await api.get<{ items: { originMs: number }[] }>(`/v1/pools/${POOL}/forecast`))
            .body.items;
          return forecast?.originMs ?? 0;
        };
        const sinceMs = await newest();
        await eventually('a newer forecast', async () => (await newest()) > sinceMs || undefined);
        expect(await api.get('/readyz')).toMatchObject({ status: 200 });
        expect(await failures()).toEqual(failuresOfStart);
      },
      withinMs,
    );

    test(
      'everything that counts nowhere is a dead letter, as it came, with reason and source, whoever is asked',
      async () => {
        for (let asked = 0; asked < 2; asked++) {
          const letters = await eventually('all dead letters', async () => {
            const { items } = (await api.get<{ items: Letter[] }>('/v1/dead-letters?limit=100')).body;
            return items.length === 16 ? items : undefined;
          });
          const reasons = (from: RegExp) =>
            letters.filter(({ source }) => from.test(source)).map(({ reason }) => reason);
          expect(reasons(/^POST \/v1\/events$/)).toHaveLength(12);
          expect(reasons(/^executions\.v1\[\d\]@\d+$/).toSorted()).toEqual([
            'future',
            'future',
            'too_many_pools',
            'too_old',
          ]);
          const tomorrow = letters.find(({ key }) => key === 'tomorrow');
          const place = `${tomorrow?.partition}/${tomorrow?.offset}`;
          const { payload } = (await api.get<Letter>(`/v1/dead-letters/${place}`)).body;
          expect(JSON.parse(payload.text)).toMatchObject({ subject: 'tomorrow', data: { pool: POOL } });
        }
      },
      withinMs,
    );

    test(
      'a dead letter that is replayed twice at once, once its pool has a place, counts once',
      async () => {
        const gone = await api.send('DELETE', '/v1/policies/second', { headers: { 'if-match': '*' } });
        expect(gone.status).toBe(204);
        const made = { body: { mode: 'observe' }, headers: { 'if-none-match': '*' } };
        expect((await api.send('PUT', '/v1/policies/third', made)).status).toBe(200);
        for (let asked = 0; asked < 2; asked++) expect((await api.get(HISTORY_OF_THIRD)).status).toBe(200);
        const before = await counter(DUPLICATES);
        const body = { filter: { reason: 'too_many_pools' }, limit: 10 };
        const replay = () => api.send('POST', '/v1/dead-letters/replay', { body });
        for (const answer of await Promise.all([replay(), replay()]))
          expect(answer).toMatchObject({ status: 200, body: { replayed: 1, refused: 0 } });
        await counted(DUPLICATES, before + 1);
        await eventually('its demand', async () => (await arrivals('third')) === 1 || undefined);
      },
      withinMs,
    );

    test(
      'and every process ends as it should',
      async () => {
        for (const ended of await deployed.stop()) expect(ended).toEqual({ code: 0, signal: null });
      },
      withinMs,
    );
  });
}

interface Letter {
  partition: number;
  offset: number;
  reason: string;
  source: string;
  key: string;
  payload: { text: string };
}
