import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  startPacedRequests,
  startSyntheticSource,
  syntheticSourceSchema,
  type PacedProgress,
} from './index.js';
import { OpenLoopSender } from './open-loop-sender.js';
import { RequestTally } from './request-tally.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/web/`;
}

async function unusedUrl(): Promise<string> {
  const url = await serve(() => {});
  await new Promise((resolve) => servers.pop()!.close(resolve));
  return url;
}

const steps = (ratePerS: number, durationMs: number) => ({
  kind: 'steps' as const,
  steps: [{ ratePerS, durationMs }],
});

/** Sends at the given times, in this thread. */
function send(
  timesMs: number[],
  target: { url: string; deadlineMs?: number; maxInFlight?: number; unreachableAfterMs?: number },
  nowMs = () => performance.now(),
) {
  const tally = new RequestTally(50);
  const sender = new OpenLoopSender(
    { method: 'GET', headers: {}, deadlineMs: 1000, maxInFlight: 10, ...target },
    tally,
    nowMs,
  );
  return { sender, tally, run: sender.run(timesMs) };
}

describe('startPacedRequests', () => {
  test('sends what it drew, with headers, and counts every answer', async () => {
    const seen: string[] = [];
    const url = await serve((request, reply) => {
      seen.push(`${request.method} ${request.url} ${request.headers['x-a']}`);
      reply.statusCode = seen.length % 2 === 0 ? 200 : 503;
      reply.end('x'.repeat(10));
    });
    const progress: PacedProgress[] = [];
    const { ended } = startPacedRequests({
      load: steps(200, 1200),
      seed: 1,
      url,
      headers: { 'x-a': 'b' },
      objectiveMs: 1000,
      onProgress: (summary) => progress.push(summary),
    });
    const { outcome, summary } = await ended;
    expect(outcome).toBe('finished');
    expect(new Set(seen)).toEqual(new Set(['GET /web/ b']));
    expect(summary).toMatchObject({
      planned: seen.length,
      sent: seen.length,
      skipped: 0,
      inFlight: 0,
      byError: {},
    });
    expect(summary.byStatus['200']! + summary.byStatus['503']!).toBe(seen.length);
    expect(summary.ok).toBe(Math.floor(seen.length / 2));
    expect(summary.overObjectiveRatio).toBeGreaterThanOrEqual(0.5);
    expect(progress[0]!.sent).toBeGreaterThan(0);
  });

  test('stop ends a long load at once; stopping twice is the same', async () => {
    let onFirst = () => {};
    const first = new Promise<void>((resolve) => {
      onFirst = resolve;
    });
    const url = await serve((_, reply) => {
      reply.end();
      onFirst();
    });
    const requests = startPacedRequests({ load: steps(100, 3_600_000), seed: 1, url, objectiveMs: 50 });
    await first;
    const [end] = await Promise.all([requests.stop(), requests.stop()]);
    expect(end.outcome).toBe('stopped');
    expect(end.summary.durationS).toBeLessThan(60);
    expect(end.summary.ok).toBeGreaterThan(0);
  });

  test('a thread that breaks is said, not waited for', async () => {
    const { ended } = startPacedRequests({ load: steps(1, 10), seed: 1, url: 'nonsense', objectiveMs: 50 });
    await expect(ended).rejects.toThrow(/Invalid URL/);
  });

  test('a synthetic day arrives', async () => {
    let seen = 0;
    const url = await serve((_, reply) => {
      seen++;
      reply.end();
      if (seen === 20) void source.stop();
    });
    const source = startSyntheticSource({
      source: syntheticSourceSchema.parse({ kind: 'synthetic', peakRps: 500 }),
      url,
      objectiveMs: 50,
    });
    expect((await source.ended).summary.ok).toBeGreaterThanOrEqual(20);
  });
});

describe('open loop', () => {
  test('a silent server delays no other request, and each is given up at its deadline', async () => {
    const arrivedMs: number[] = [];
    const url = await serve((request, reply) => {
      arrivedMs.push(performance.now());
      if (arrivedMs.length > 1) reply.end();
      else request.resume();
    });
    const { run, tally } = send([0, 20, 40, 60], { url, deadlineMs: 1000 });
    expect(await run).toBe('finished');
    expect(tally.summary({ durationS: 1 })).toMatchObject({
      planned: 4,
      ok: 3,
      byError: { deadline: 1 },
      inFlight: 0,
    });
    expect(arrivedMs[3]! - arrivedMs[0]!).toBeLessThan(950);
  });

  test('beyond the bound of requests in flight the rest is skipped and counted', async () => {
    const url = await serve(() => {});
    const { run, tally } = send([0, 0, 0, 0, 0], { url, maxInFlight: 2, deadlineMs: 50 });
    await run;
    expect(tally.summary({ durationS: 1 })).toMatchObject({
      planned: 5,
      sent: 2,
      skipped: 3,
      byError: { deadline: 2 },
      overObjectiveRatio: 1,
    });
  });

  test('a deadline passed in a stall is a deadline, also when the wait for the last answers passed with it', async () => {
    let stallMs = 0;
    // The sender looks at its clock in every round: so often after the request came it has nothing left but to wait.
    let looksLeft = Infinity;
    const url = await serve(() => void (looksLeft = 10));
    const nowMs = () => {
      // Between two rounds, as for a thread that is not let run.
      if (--looksLeft === 0) setImmediate(() => (stallMs = 60_000));
      return performance.now() + stallMs;
    };
    const { run, tally } = send([0], { url, deadlineMs: 30_000 }, nowMs);
    await run;
    expect(tally.summary({ durationS: 1 }).byError).toEqual({ deadline: 1 });
  });

  test('what is later than the deadline is skipped; what is late and sent is counted as late', async () => {
    const url = await serve((_, reply) => void reply.end());
    const { run, tally } = send([-5000, -100], { url });
    await run;
    const summary = tally.summary({ durationS: 1 });
    expect(summary).toMatchObject({ planned: 2, sent: 1, late: 1, skipped: 1, ok: 1 });
    // From the planned time, not from the sending.
    expect(summary.latencyMs!.p50).toBeGreaterThanOrEqual(100);
  });

  test('a lost connection and a refused one have their names', async () => {
    const url = await serve((request) => void request.socket.destroy());
    const lost = send([0], { url });
    await lost.run;
    expect(lost.tally.summary({ durationS: 1 }).byError).toEqual({ 'connection-lost': 1 });
    const refused = send([0], { url: await unusedUrl() });
    expect(await refused.run).toBe('finished');
    expect(refused.tally.summary({ durationS: 1 })).toMatchObject({
      byError: { ECONNREFUSED: 1 },
      latencyMs: undefined,
    });
  });

  test('gives up when nothing can connect for the stated time', async () => {
    const times = Array.from({ length: 1000 }, (_, i) => i * 5);
    const { run, tally } = send(times, { url: await unusedUrl(), unreachableAfterMs: 50 });
    expect(await run).toBe('unreachable');
    expect(tally.summary({ durationS: 1 }).sent).toBeLessThan(1000);
  });

  test('stop lets open requests end for half a second, then aborts and counts them', async () => {
    const url = await serve(() => sender.stop());
    const { sender, run, tally } = send([0, 60_000], { url, deadlineMs: 30_000 });
    expect(await run).toBe('stopped');
    expect(tally.summary({ durationS: 1 })).toMatchObject({
      planned: 1,
      byError: { aborted: 1 },
      inFlight: 0,
    });
  });

  test('a stop during the last answers shortens the wait for them', async () => {
    const url = await serve(() => void setImmediate(() => sender.stop()));
    const { sender, run, tally } = send([0], { url, deadlineMs: 3_600_000 });
    await run;
    expect(tally.summary({ durationS: 1 }).byError).toEqual({ aborted: 1 });
  });
});

describe('RequestTally', () => {
  test('an empty run has no percentiles and no share', () => {
    expect(new RequestTally(50).summary({ durationS: 0 })).toMatchObject({
      latencyMs: undefined,
      overObjectiveRatio: undefined,
    });
  });

  test('error codes are bounded', () => {
    const tally = new RequestTally(50);
    for (let i = 0; i < 30; i++) {
      tally.started({ latenessMs: 0 });
      tally.failed({ code: `E${i}`, plannedMs: 0, latencyMs: 1 });
    }
    const { byError } = tally.summary({ durationS: 1 });
    expect(Object.keys(byError)).toHaveLength(21);
    expect(byError['other']).toBe(10);
  });
});
