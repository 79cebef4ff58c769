import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Client } from 'pg';
import { startKafka, type Kafka } from '#parts/kafka';
import { startPostgres, type Postgres } from '#parts/postgres';
import { startToxiproxy, type ToxicProxy, type Toxiproxy } from '#parts/toxiproxy';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace, type HeadroomProcess } from './headroom-process.js';
import { completed, type SentEvent } from './sent-events.js';

// A broker that is slower than the senders: who cannot be served is told so, memory stays flat, and nothing that was
// acknowledged is missing.

jest.setTimeout(120_000);

/** What one connection to the broker takes, kB/s; the senders would send ten times as much. */
const BROKER_KB_PER_S = 2_000;
const SENDERS = 60;
const EVENTS_PER_POST = 1_000;
/** Makes an event 900 bytes, and a request nearly a megabyte, which is what a request may be. */
const LONG_ID = 'x'.repeat(180);
const FLOOD_MS = 15_000;
const SAMPLE_MS = 250;
/** Rude: the answers ask for a second and more. */
const AGAIN_MS = 250;
/** The program itself, and 32 MiB of bodies: as text, as what was read in them, as records and as what is sent. */
const MAX_RESIDENT_MB = 600;

let kafka: Kafka;
let postgres: Postgres;
let toxiproxy: Toxiproxy;
let proxy: ToxicProxy;
const work = new Workplace();
let api: ApiClient;
let program: HeadroomProcess;

beforeAll(async () => {
  toxiproxy = await startToxiproxy();
  const [advertisedPort] = (await freePorts(1)) as [number];
  kafka = await startKafka({ listeners: { PROXIED: { protocol: 'PLAINTEXT', advertisedPort } } });
  proxy = await toxiproxy.proxy('kafka', kafka.listeners['PROXIED'] as string, advertisedPort);
  postgres = await startPostgres();
  const [port, router] = (await freePorts(2)) as [number, number];
  const file = work.write('headroom.json', {
    eventLog: { kind: 'kafka', brokers: [proxy.address], replicationFactor: 1 },
    store: { kind: 'postgres', url: postgres.url },
    log: { statusEveryS: 0 },
    api: { port },
    router: { port: router },
  });
  program = work.start(file, '--target', 'ingest');
  await program.line(/^headroom: ready after/m);
  api = new ApiClient(`http://127.0.0.1:${port}`, await work.token('all'));
}, 180_000);
afterAll(async () => {
  await work.clean();
  await Promise.all([kafka, postgres, toxiproxy].map((server) => server?.stop()));
}, 60_000);

interface Flood {
  /** Executions that were sent, all of which are acknowledged in the end. */
  executions: number;
  acknowledged: number;
  statuses: Map<number, number>;
  /** Answers that send the sender away without saying for how long. */
  without: number;
}

/** Sends one request after the other, each until it is taken, until told to begin no more. */
async function send(sender: number, flood: Flood, over: AbortSignal): Promise<void> {
  for (let nth = 0; !over.aborted; nth++) {
    const text = JSON.stringify(eventsOf(`${sender}-${nth}`));
    flood.executions += EVENTS_PER_POST;
    while (!(await isTaken(text, flood))) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    flood.acknowledged += EVENTS_PER_POST;
  }
}

async function isTaken(text: string, flood: Flood): Promise<boolean> {
  const { status, headers } = await api.send('POST', '/v1/events', { text });
  flood.statuses.set(status, (flood.statuses.get(status) ?? 0) + 1);
  if (status === 503 && !(Number(headers.get('retry-after')) >= 1)) flood.without += 1;
  return status === 202;
}

function eventsOf(prefix: string): SentEvent[] {
  return Array.from({ length: EVENTS_PER_POST }, (_, i) => {
    const id = `${prefix}-${i}-`;
    const event = completed({ id: id + LONG_ID.slice(id.length), pool: 'web', queuedAtMs: Date.now() });
    return { ...event, source: LONG_ID, data: { ...event.data, taskType: LONG_ID } };
  });
}

/** Resident memory of the program, MB. */
function residentMb(): number {
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function arrivals(): Promise<number> {
  const client = new Client(postgres.url);
  await client.connect();
  const { rows } = await client.query<{ sum: string | null }>('select sum(arrivals) as sum from demand');
  await client.end();
  return Number(rows[0]?.sum ?? 0);
}

test('a slow broker: senders are told when to come again, memory is bounded, and all that was taken counts', async () => {
  const flood: Flood = { executions: 0, acknowledged: 0, statuses: new Map(), without: 0 };
  const over = new AbortController();
  await proxy.poison('bandwidth', { rate: BROKER_KB_PER_S }, 'upstream');
  const sending = Array.from({ length: SENDERS }, (_, sender) => send(sender, flood, over.signal));
  const resident: number[] = [];
  const sampling = setInterval(() => resident.push(residentMb()), SAMPLE_MS);
  await new Promise((resolve) => setTimeout(resolve, FLOOD_MS));
  clearInterval(sampling);
  over.abort();
  const meanwhile = flood.acknowledged;
  await proxy.cure('bandwidth', 'upstream');
  await Promise.all(sending);

  expect([...flood.statuses.keys()].toSorted()).toEqual([202, 503]);
  expect(flood.without).toBe(0);
  expect(meanwhile).toBeGreaterThan(0);
  // As high after seconds of it as at its beginning.
  const half = Math.floor(resident.length / 2);
  const [early, late] = [resident.slice(0, half), resident.slice(half)].map((part) => Math.max(...part));
  expect(early).toBeLessThan(MAX_RESIDENT_MB);
  expect(late).toBeLessThan(MAX_RESIDENT_MB);

  expect(flood.acknowledged).toBe(flood.executions);
  let counted = 0;
  await eventually(
    'all that was acknowledged in the table',
    async () => (counted = await arrivals()) >= flood.executions || undefined,
    60_000,
  ).catch(() => undefined);
  expect(counted).toBe(flood.executions);
  expect((await api.get('/readyz')).status).toBe(200);
});
