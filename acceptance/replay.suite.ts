import { gzipSync } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ApiClient } from './api-client.js';
import type { Deployed, Deployment } from './deployment.js';
import { DEADLINE_MS, DEMO_HANDLERS, eventually, freePorts, Workplace } from './headroom-process.js';

// A recorded series against a running instance: what was recorded arrives as requests, and as demand.

const POOL = 'web';
/** Four minutes, of which one is missing: at speed 160 a second and a half. The peak bucket is the last. */
const TRACE =
  'timestamp,value\n2026-01-01T00:00,30\n2026-01-01T00:01,\n2026-01-01T00:02,60\n2026-01-01T00:03,120\n';
const SPEED = ['--speed', '160', '--peak-rps', '80', '--seed', '7'];
interface Summary {
  outcome: string;
  sent: number;
  ok: number;
  skipped: number;
  missingBuckets: number;
  byStatus: Record<string, number>;
  latencyMs: { p95: number };
}

/** A recorded series, sent to a router. */
export function replaySuite(deployment: Deployment): void {
  describe(`replay: ${deployment.name}`, () => {
    const withinMs = deployment.slowness * DEADLINE_MS;
    const work = new Workplace();
    let api: ApiClient;
    let deployed: Deployed;
    /** Requests that replays have sent to the pool. */
    let sent = 0;

    beforeAll(async () => {
      const config = {
        log: { statusEveryS: 0 },
        pools: {
          [POOL]: {
            bucketS: 1,
            seasonsS: [60],
            worker: { handlers: DEMO_HANDLERS, slots: 4 },
            policy: { mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 3 } },
          },
        },
      };
      deployed = await deployment.start(work, config);
      ({ api } = deployed);
      work.write('day.csv', TRACE);
      writeFileSync(join(work.folder, 'day.csv.gz'), gzipSync(TRACE));
    }, withinMs);
    afterAll(() => work.clean());

    function replay(file: string, ...more: string[]) {
      return work.headroom('replay', join(work.folder, file), '--url', deployed.router, ...more);
    }

    async function arrivals(): Promise<number> {
      const buckets = await api.all<{ arrivals: number }>(`/v1/pools/${POOL}/demand`);
      return buckets.reduce((sum, bucket) => sum + bucket.arrivals, 0);
    }

    describe('headroom replay', () => {
      test(
        'a trace, plain or gzip, arrives as it was recorded, and counts as demand',
        async () => {
          const summaries: Summary[] = [];
          for (const file of ['day.csv', 'day.csv.gz']) {
            // Together they would make each other's latency; the window of the second leaves the last minute out.
            const window = file === 'day.csv' ? [] : ['--to', '2026-01-01T00:03'];
            const command = replay(file, '--pool', POOL, ...SPEED, ...window, '--json');
            expect(await command.ended).toEqual({ code: 0, signal: null });
            const summary = JSON.parse(command.stdout) as Summary;
            expect(summary).toMatchObject({
              outcome: 'finished',
              missingBuckets: 1,
              ok: summary.sent,
              skipped: 0,
              byStatus: { 200: summary.sent },
              latencyMs: { p95: expect.any(Number) },
            });
            sent += summary.sent;
            summaries.push(summary);
          }
          // Buckets of .375 s at 20, 40 and 80 a second; without the last the peak is 60 and arrives at 80: 40 and 80 a
          // second. Poisson: ± 5 standard deviations.
          const [whole, part] = summaries.map((summary) => summary.sent) as [number, number];
          expect(Math.abs(whole - 52.5)).toBeLessThan(5 * Math.sqrt(52.5));
          expect(Math.abs(part - 45)).toBeLessThan(5 * Math.sqrt(45));
          await eventually('all demand', async () => (await arrivals()) >= sent || undefined);
          expect(await arrivals()).toBe(sent);
        },
        withinMs,
      );

      test(
        'the summary in words',
        async () => {
          const command = replay(
            'day.csv',
            '--pool',
            POOL,
            '--speed',
            '800',
            '--peak-rps',
            '100',
            '--seed',
            '7',
          );
          expect(await command.ended).toEqual({ code: 0, signal: null });
          expect(command.stdout).toMatch(
            /^replay of pool web finished after \d+\.\d s, 1 missing buckets sent nothing\n/,
          );
          const ok = /^ {2}ok +(\d+) \(100\.00 %\)$/m.exec(command.stdout);
          sent += Number(ok?.[1]);
          await eventually('all demand', async () => (await arrivals()) === sent || undefined);
        },
        withinMs,
      );

      test(
        'Ctrl-C: the summary so far, 130',
        async () => {
          const command = replay('day.csv', '--pool', POOL, '--speed', '1', '--peak-rps', '100', '--json');
          await eventually('requests of the replay', async () => (await arrivals()) > sent || undefined);
          command.killGroup('SIGINT');
          expect(await command.ended).toEqual({ code: 130, signal: null });
          const summary = JSON.parse(command.stdout) as Summary;
          expect(summary).toMatchObject({ outcome: 'stopped', ok: summary.sent });
          await command.gone();
        },
        withinMs,
      );

      test(
        'a pool that the router does not know is said, 2',
        async () => {
          const command = replay('day.csv', '--pool', 'wbe', ...SPEED);
          expect(await command.ended).toEqual({ code: 2, signal: null });
          expect(command.stderr).toMatch(
            /^headroom: --pool: must be known to the router .+, got wbe \(404 for every request\)$/m,
          );
          expect(command.stdout).toMatch(/^replay of pool wbe stopped after [1-9]\d*\.\d s/);
        },
        withinMs,
      );

      test(
        'no router: 3',
        async () => {
          const [free] = await freePorts(1);
          const url = `http://127.0.0.1:${free}`;
          const command = work.headroom('replay', join(work.folder, 'day.csv'), '--pool', POOL, '--url', url);
          expect(await command.ended).toEqual({ code: 3, signal: null });
          expect(command.stderr).toContain(`headroom: router ${url}: must accept connections, got none\n`);
        },
        withinMs,
      );
    });
  });
}
