import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ApiClient } from './api-client.js';
import type { Deployed, Deployment } from './deployment.js';
import { DEADLINE_MS, DEMO_HANDLERS, eventually, Workplace } from './headroom-process.js';
import { completed, completedBetween } from './sent-events.js';

// Days of 12 seconds pass while these tests run: the load of `demo` rises, is served by more workers, and ends. What needs
// the load comes first.

interface Bucket {
  start: string;
  arrivals: number;
  completions: number;
}
interface Forecast {
  originMs: number;
  horizons: { horizonS: number; values: number[] }[];
  provenance: { state: string; historyBuckets: number };
}
interface Decision {
  id: string;
  kind: string;
  desired: number;
  reason: string;
  count: number;
  policyVersion: number;
  limits: { limit: string; from: number; to: number }[];
}
interface Pool {
  mode: string;
  workers: { ready: number; desired: number } | null;
}

/** The closed loop, seen from outside. */
export function loopSuite(deployment: Deployment): void {
  describe(`the loop: ${deployment.name}`, () => {
    const withinMs = deployment.slowness * DEADLINE_MS;
    /** More than what needs the load takes; the rest waits for their end. */
    const days = 1 + Math.ceil(deployment.slowness / 2);
    const work = new Workplace();
    let api: ApiClient;
    let deployed: Deployed;
    /** Requests to `demo` beside those of its source. */
    let ownRequests = 0;

    beforeAll(async () => {
      const pool = {
        bucketS: 1,
        seasonsS: [12],
        latenessS: 2,
        worker: { handlers: DEMO_HANDLERS },
        policy: { mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 4 } },
      };
      const config = {
        log: { statusEveryS: 1 },
        pools: {
          demo: { ...pool, source: { kind: 'synthetic', seed: 2, seasonS: 12, peakRps: 200, days } },
          posted: { ...pool, worker: {} },
          watched: { ...pool, policy: { mode: 'observe' } },
        },
      };
      deployed = await deployment.start(work, config);
      ({ api } = deployed);
      await deployed.line(/^demo .* workers \d→\d .* p95 /m);
    }, withinMs);
    afterAll(() => work.clean());

    const demandOf = (pool: string, limit?: number) => api.all<Bucket>(`/v1/pools/${pool}/demand`, limit);
    const decisionsOf = (pool: string, limit?: number) =>
      api.all<Decision>(`/v1/pools/${pool}/decisions`, limit);
    const poolOf = async (pool: string) => (await api.get<Pool>(`/v1/pools/${pool}`)).body;
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

    function post(events: unknown) {
      return api.send<{ accepted: number; refused: unknown[] }>('POST', '/v1/events', { body: events });
    }

    async function putBounds(pool: string, maxWorkers: number): Promise<number> {
      const { headers } = await api.get(`/v1/policies/${pool}`);
      const { status, body } = await api.send<{ version: number }>('PUT', `/v1/policies/${pool}`, {
        body: { mode: 'predictive', bounds: { minWorkers: 1, maxWorkers } },
        headers: { 'if-match': headers.get('etag') as string },
      });
      expect(status).toBe(200);
      return body.version;
    }

    /** Workers that answered requests sent now, by the answer of the demo's handler. */
    async function whoAnswers(requests: number): Promise<Set<string>> {
      ownRequests += requests;
      const answers = await Promise.all(
        Array.from({ length: requests }, () => fetch(`${deployed.router}/demo/`)),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      const bodies = await Promise.all(
        answers.map((answer) => answer.json() as Promise<{ workerId: string }>),
      );
      return new Set(bodies.map(({ workerId }) => workerId));
    }

    /** Requests to `demo`, when the load has ended and all of it has counted. */
    function sentInAll(): Promise<number> {
      const ask = async () => {
        const demand = await demandOf('demo');
        // The emptiest second of the day has thirty requests.
        if (Date.parse(demand[0]?.start ?? '') > Date.now() - 3_000) return undefined;
        const ok = (await api.metrics()).get('headroom_source_requests_total{pool="demo",outcome="ok"}') ?? 0;
        const sent = ok + ownRequests;
        return sum(demand.map(({ completions }) => completions)) >= sent ? sent : undefined;
      };
      return eventually('the end of the load, and its demand', ask, withinMs);
    }

    describe('while the load rises', () => {
      test(
        'the workers follow the load, and the router uses the new ones',
        async () => {
          const ready = 'headroom_workers{pool="demo",state="ready"}';
          await eventually(
            'a second ready worker',
            async () => ((await api.metrics()).get(ready) ?? 0) > 1 || undefined,
          );
          await eventually('answers of two workers', async () => (await whoAnswers(8)).size > 1 || undefined);
          const up = await eventually('its record', async () => {
            const made = await decisionsOf('demo');
            return made.find(({ kind, reason }) => kind === 'scale' && /^(reaction|forecast)$/.test(reason));
          });
          expect(up.policyVersion).toBe(1);
        },
        withinMs,
      );

      test(
        'a bound of one worker caps it, and the record says so',
        async () => {
          const capping = await putBounds('demo', 1);
          try {
            const capped = await eventually('a capped decision', async () => {
              const made = await decisionsOf('demo');
              return made.find(({ policyVersion, limits }) => policyVersion === capping && limits.length > 0);
            });
            expect(capped).toMatchObject({
              desired: 1,
              reason: 'max-workers',
              limits: [{ limit: 'max-workers', from: expect.any(Number), to: 1 }],
            });
            await eventually('a single worker', async () => {
              const { workers } = await poolOf('demo');
              return (workers?.desired === 1 && workers.ready === 1) || undefined;
            });
          } finally {
            await putBounds('demo', 4); // the load goes on
          }
        },
        withinMs,
      );

      test(
        'pools without load of their own: forecasts from posted history are warm after thirty buckets',
        async () => {
          const toMs = Date.now();
          const events = completedBetween({
            prefix: 'past',
            pool: 'posted',
            fromMs: toMs - 40_000,
            toMs,
            count: 400,
          });
          expect(await post(events)).toMatchObject({ status: 202, body: { accepted: 400, refused: [] } });
          const warm = await eventually('a warm forecast', async () => {
            const [newest] = (await api.get<{ items: Forecast[] }>('/v1/pools/posted/forecast')).body.items;
            return newest?.provenance.state === 'warm' ? newest : undefined;
          });
          expect(warm.provenance.historyBuckets).toBeGreaterThanOrEqual(30);
          expect(warm.horizons.map(({ horizonS }) => horizonS)).toEqual(
            Array.from({ length: warm.horizons.length }, (_, i) => i + 1),
          );
          for (const { values } of warm.horizons) expect(values).toEqual([...values].sort((a, b) => a - b));
          // The table follows the topic, in its own time.
          const counted = async () => sum((await demandOf('posted')).map(({ arrivals }) => arrivals));
          await eventually('all demand', async () => (await counted()) >= 400 || undefined);
          expect(await counted()).toBe(400);
        },
        withinMs,
      );

      test(
        'a pool in mode observe is decided for and never scaled',
        async () => {
          let sentToMs = Date.now() - 4_000;
          // Two hundred a second, for as long as it takes.
          await eventually('a decision for more workers', async () => {
            const [fromMs, toMs] = [sentToMs, Date.now()];
            const count = Math.min(1_000, Math.round((toMs - fromMs) / 5));
            const events = completedBetween({ prefix: `seen-${toMs}`, pool: 'watched', fromMs, toMs, count });
            expect(await post(events)).toMatchObject({ status: 202 });
            sentToMs = toMs;
            const decisions = await decisionsOf('watched');
            return decisions.some(({ desired }) => desired > 1) || undefined;
          });
          expect(await poolOf('watched')).toMatchObject({
            mode: 'observe',
            workers: { ready: 1, desired: 1 },
          });
          expect([...(await api.metrics()).keys()].join('\n')).not.toMatch(
            /worker_exits_total\{pool="watched"/,
          );
        },
        withinMs,
      );

      test(
        'the first event of an unknown pool creates it in mode observe; other names are unknown',
        async () => {
          expect(await api.get('/v1/pools/nobody')).toMatchObject({
            status: 404,
            body: {
              type: 'urn:headroom:unknown-pool',
              status: 404,
              detail: expect.stringContaining('nobody'),
            },
          });
          const unknown = await api.get('/v1/policies/nobody');
          expect(unknown.headers.get('content-type')).toMatch(/^application\/problem\+json/);
          expect(await post(completed({ id: 'first', pool: 'born', queuedAtMs: Date.now() }))).toMatchObject({
            status: 202,
          });
          await eventually(
            'the new pool',
            async () => (await api.get('/v1/pools/born')).status === 200 || undefined,
          );
          expect(await api.get('/v1/policies/born')).toMatchObject({
            body: { version: 1, policy: { mode: 'observe' } },
          });
          expect(await poolOf('born')).toMatchObject({ workers: null });
        },
        withinMs,
      );

      test('a policy of a pool that the configuration does not declare changes only from the version that was seen', async () => {
        const put = (headers: Record<string, string>) =>
          api.send('PUT', '/v1/policies/born', { body: { mode: 'reactive' }, headers });
        expect((await put({})).status).toBe(428);
        expect((await put({ 'if-match': '"7"' })).status).toBe(412);
        expect((await put({ 'if-match': 'W/"1"' })).status).toBe(412);
        expect((await put({ 'if-none-match': '*' })).status).toBe(412);
        const first = (await api.get('/v1/policies/born')).headers.get('etag') as string;
        const changed = await put({ 'if-match': first });
        expect(changed).toMatchObject({ status: 200, body: { version: 2, policy: { mode: 'reactive' } } });
        const second = changed.headers.get('etag') as string;
        const remove = (tag?: string) =>
          api.send('DELETE', '/v1/policies/born', tag === undefined ? {} : { headers: { 'if-match': tag } });
        expect((await remove()).status).toBe(428);
        expect((await remove(first)).status).toBe(412);
        expect((await remove(second)).status).toBe(204);
        // Made again it has the same version, and is another one all the same.
        expect((await put({ 'if-none-match': '*' })).status).toBe(200);
        expect((await put({ 'if-match': first })).status).toBe(412);
        const again = (await api.get('/v1/policies/born')).headers.get('etag') as string;
        expect((await remove(again)).status).toBe(204);
        expect((await api.get('/v1/pools/born')).status).toBe(404);
      });
    });

    describe('when the load has ended', () => {
      test(
        'demand equals what was sent, and no request failed although workers left',
        async () => {
          const sent = await sentInAll();
          const metrics = await api.metrics();
          const of = (name: string) => [...metrics].filter(([key]) => key.startsWith(`${name}{pool="demo"`));
          const failed = of('headroom_source_requests_total').filter(
            ([key, value]) => !key.includes('"ok"') && value > 0,
          );
          expect(failed).toEqual([]);
          expect(sent).toBeGreaterThan(500);
          const demand = await demandOf('demo');
          expect(sum(demand.map(({ arrivals }) => arrivals))).toBe(sent);
          expect(sum(demand.map(({ completions }) => completions))).toBe(sent);
          expect(of('headroom_router_requests_total')).toEqual([
            ['headroom_router_requests_total{pool="demo",outcome="answered"}', sent],
          ]);
          const exits = of('headroom_worker_exits_total');
          expect(exits).toEqual([
            ['headroom_worker_exits_total{pool="demo",cause="drained"}', expect.any(Number)],
          ]);
          expect(exits[0]?.[1]).toBeGreaterThan(0);
        },
        withinMs,
      );

      test('pages of any size give each row once', async () => {
        const whole = { demand: await demandOf('demo'), decisions: await decisionsOf('demo') };
        const origins = (items: Forecast[]) => items.map(({ originMs }) => originMs);
        const allOrigins = origins(await api.all<Forecast>('/v1/pools/demo/forecast'));
        const inPages = {
          demand: await demandOf('demo', 7),
          decisions: await decisionsOf('demo', 7),
          forecast: origins(await api.all<Forecast>('/v1/pools/demo/forecast', 7)),
        };
        expect(inPages.demand).toEqual(whole.demand);
        // Decisions and forecasts go on meanwhile: the pages may begin with newer rows.
        const ids = inPages.decisions.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.slice(-whole.decisions.length)).toEqual(whole.decisions.map(({ id }) => id));
        expect(inPages.forecast.slice(-allOrigins.length)).toEqual(allOrigins);
        expect(new Set(inPages.forecast).size).toBe(inPages.forecast.length);
        // One forecast for each closed bucket since the first: no hole, none twice.
        const steps = allOrigins.slice(1).map((origin, i) => (allOrigins[i] as number) - origin);
        expect(new Set(steps)).toEqual(new Set([1000]));
        expect(await api.get('/v1/pools/demo/demand?cursor=x')).toMatchObject({ status: 400 });
        expect(await api.get('/v1/pools/demo/demand?limit=501')).toMatchObject({ status: 400 });
      });
    });
  });
}
