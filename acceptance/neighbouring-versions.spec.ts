import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import {
  addToSketch,
  applyPartial,
  emptySketch,
  ingestStep,
  newDemandSeries,
  newIngestMemory,
  parsePartial,
  restoreIngest,
  resumeIngest,
  sampledPartial,
  sampledPartition,
  type DemandPartial,
  type IngestOutput,
  type IngestSettings,
  type StateRecord,
} from '#domain/demand';
import { parseEventRecord, PHASES } from '#domain/events';
import { forecastSchema, forecastStep, newForecastMemory, type Forecast } from '#domain/forecasting';
import { decide, policySchema, type DecisionKind } from '#domain/scaling';
import { decisionRecord } from '../apps/autoscaler/decision-record.js';
import { replayOf } from '../apps/ingest/dead-letter-replay.js';
import {
  deadLetterRecord,
  letterOf,
  PAYLOAD_STATES,
  type PayloadKeeping,
  type RefusedRecord,
  type StoredLetter,
} from '../apps/ingest/dead-letter.js';
import { endEvent, startEvent } from '../apps/worker/execution-events.js';
import { LETTER_READ_BEFORE, READ_BEFORE, STATE_READ_BEFORE } from './version-before/readers.js';

// Two versions that follow each other run on the same topics (docs/decisions/0020): this one reads what the version
// before wrote, the version before reads what this one writes, and what a later one will add is left alone.

type Message = object;

/** A record of executions.dlq.v1. */
interface Letter {
  key: string;
  value: string | null;
  headers: Record<string, string>;
}

const BEFORE = JSON.parse(readFileSync('acceptance/version-before/messages.json', 'utf8')) as Record<
  string,
  Message[]
>;
const { 'ingest-state.v1': state, 'executions.dlq.v1': letters, ...MESSAGES } = BEFORE;
const STATE = state as { key: string; value: unknown }[];
const LETTERS = letters as Letter[];
const PARTIALS = MESSAGES['demand.v1'] as DemandPartial[];
const ROWS = Object.entries(MESSAGES).flatMap(([topic, own]) =>
  own.map((message): [string, Message] => [topic, message]),
);

/** As it goes through a topic. */
const sent = <T>(message: T): T => JSON.parse(JSON.stringify(message)) as T;

/** How this version reads each topic. */
const READ: Record<string, (message: unknown) => unknown> = {
  'executions.v1': (message) => {
    const parsed = parseEventRecord(JSON.stringify(message), {});
    return parsed.ok ? parsed.event : parsed;
  },
  'demand.v1': (message) => parsePartial(JSON.stringify(message)),
  'forecasts.v1': (message) => forecastSchema.safeParse(message).data,
  'decisions.v1': decisionRecord,
};
const read = (topic: string, message: unknown) => READ[topic]?.(message);

/** Each object has one more member, except where members are no fields. */
function withAdditions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withAdditions);
  if (typeof value !== 'object' || value === null) return value;
  const known = Object.entries(value).map(([key, own]) => [
    key,
    key === 'weights' ? own : withAdditions(own),
  ]);
  return { ...(Object.fromEntries(known) as object), addedLater: { words: ['more'] } };
}

/** The fields of messages, by their way from the outside: `.buckets[].waitMs.count`. */
function fieldsOf(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((own) => fieldsOf(own, `${at}[]`));
  if (typeof value !== 'object' || value === null || at.endsWith('.weights')) return [at];
  return Object.entries(value).flatMap(([name, own]) => fieldsOf(own, `${at}.${name}`));
}

/** The message with another word in one of its fields. */
function withWord(message: Message, [name = '', ...inner]: string[], word: string): Message {
  const own = (message as Record<string, Message>)[name] as Message;
  return { ...message, [name]: inner.length === 0 ? word : withWord(own, inner, word) };
}

/** A letter has one more header of ours, and those that hold JSON as others do. */
function withHeaders({ headers, ...record }: Letter): Letter {
  const told = Object.entries(headers).map(([name, text]) => [
    name,
    text.startsWith('{') ? JSON.stringify(withAdditions(JSON.parse(text))) : text,
  ]);
  const known = Object.fromEntries(told) as Letter['headers'];
  return { ...record, headers: { ...known, 'headroom-added-later': 'words' } };
}

const PARTITION = 3;
const KEEP: PayloadKeeping = { payload: 'keep', maxPayloadBytes: 1_000 };
const SETTINGS: IngestSettings = { dedupeWindowS: 300, maxExecutionS: 3600, maxFutureS: 60, maxAgeS: 7200 };
const POOL = { bucketS: 1, latenessS: 5 };

interface Told {
  phase: string;
  id: string;
  data: object;
  atMs: number;
}

/** Counts events that come after `from`, each at its log time. */
function count(told: Told[], from: number, memory = newIngestMemory()): IngestOutput {
  const records = told.map(({ phase, id, data, atMs }, i) => {
    const type = `com.headroom.execution.${phase}.v1`;
    const event = { specversion: '1.0', id: `${id}/${phase}`, source: 's', type, subject: id, data };
    return { offset: from + i, timestampMs: atMs, parsed: parseEventRecord(JSON.stringify(event), {}) };
  });
  const given = { settings: SETTINGS, admits: () => true, poolSettings: () => POOL };
  return ingestStep({ partition: PARTITION, records, ...given }, memory).output;
}

function sumsOf(partials: DemandPartial[]) {
  const series = newDemandSeries({ bucketS: 1, seasonS: 60 });
  const outcomes = partials.map((partial) => applyPartial(partial, series).outcome);
  return { outcomes, chains: [...series.chains], buckets: [...series.buckets.values()] };
}

describe('what the version before wrote', () => {
  test.each(ROWS)('%s is read, and nothing in it is lost', (topic, message) => {
    expect(read(topic, message)).toMatchObject(message);
  });

  test('demand adds up', () => {
    const { outcomes, chains, buckets } = sumsOf(sent(PARTIALS));
    expect(outcomes).toEqual(['applied', 'applied']);
    expect(chains).toEqual([[PARTITION, { to: 40, backlog: 0, inFlight: 1 }]]);
    expect(buckets).toMatchObject([
      { arrivals: 3, serviceMs: { count: 2, sum: 40.5 } },
      { arrivals: 2, rejections: 1 },
    ]);
  });

  test.each<[string, (value: unknown) => unknown]>([
    ['as it is', (value) => value],
    ['with what a later version adds', withAdditions],
  ])(
    'ingest goes on from the state, %s: what is open ends, what has expired counts no more',
    (_how, given) => {
      const records = STATE.map(({ key, value }): StateRecord => ({
        key,
        value: JSON.stringify(given(value)),
      }));
      const restored = restoreIngest([...records, { key: 'later:web', value: '{}' }]);
      expect(restored.to).toBe(40);
      const [queuedAtMs, startedAtMs, endedAtMs] = [1795514400500, 1795514401000, 1795514700100];
      const told = [
        { phase: 'completed', id: 'exec-7', data: { pool: 'web', queuedAtMs, startedAtMs, endedAtMs } },
        { phase: 'queued', id: 'exec-3', data: { pool: 'web', queuedAtMs } },
      ].map((event, i) => ({ ...event, atMs: endedAtMs + i }));
      const { partials, counts } = count(told, restored.to, resumeIngest(restored));
      expect(partials).toMatchObject([
        {
          range: { partition: PARTITION, from: 40, to: 42 },
          buckets: [{ arrivals: 0, starts: 0, completions: 1, serviceMs: { count: 1 } }],
        },
      ]);
      expect(counts.duplicates).toBe(1);
    },
  );
});

describe('dead letters of the version before', () => {
  const { headers, ...sentRecord } = LETTERS[0] as Letter;
  const ofIt = { traceparent: headers['traceparent'] };

  test.each<[string, (letter: Letter) => Letter]>([
    ['as they are', (letter) => letter],
    ['with what a later version adds', withHeaders],
  ])('are listed and replayed, %s', (_how, given) => {
    const stored = LETTERS.map((letter, offset) =>
      letterOf(0, { ...given(letter), offset, timestampMs: 1795514400001 }),
    );
    const payload = { bytes: 8, sha256: headers['headroom-payload-sha256'] };
    expect(stored).toMatchObject([
      {
        reason: 'malformed_json',
        detail: 'Unexpected end of JSON input',
        source: 'executions.v1[3]@17',
        key: 'exec-9',
        about: { topic: 'executions.v1', partition: 3, offset: 17, timeMs: 1795514400000 },
        mapping: undefined,
        elements: undefined,
        payload: { ...payload, state: 'kept', text: '{"half":' },
        replays: 1,
        replayedFrom: 'executions.dlq.v1[0]@5',
      },
      {
        reason: 'unknown_status',
        detail: '[1] status: must be one of ok',
        source: 'rabbitmq jobs m-1',
        about: { queue: 'jobs' },
        mapping: 'jobs',
        payload: { ...payload, state: 'redacted', text: null },
        replays: 0,
        replayedFrom: undefined,
      },
    ]);
    expect(stored.map(({ headers: own }) => own)).toEqual([ofIt, {}]);
    expect(stored[1]?.elements).toEqual({ refused: [1], of: 3 });
    const marks = { 'headroom-replays': '2', 'headroom-replayed-from': 'executions.dlq.v1[0]@0' };
    const [kept] = stored as [StoredLetter];
    expect(replayOf(kept, { mappings: new Map(), keeping: KEEP })).toEqual({
      accepted: [{ ...sentRecord, partition: 3, headers: { ...ofIt, ...marks } }],
      deadLetters: [],
    });
  });
});

describe('what a later version adds is left alone', () => {
  test.each(ROWS)('in %s', (topic, message) => {
    expect(read(topic, withAdditions(message))).toMatchObject(message);
  });

  test('demand adds up to the same', () => {
    const later = withAdditions(PARTIALS) as DemandPartial[];
    expect(sumsOf(later)).toEqual(sumsOf(sent(PARTIALS)));
  });
});

describe('what this version writes, the version before reads', () => {
  const T0 = 1_795_514_400_000;

  function counted(): IngestOutput {
    const at = (seconds: number) => T0 + seconds * 1000;
    const started = { pool: 'web', queuedAtMs: T0, startedAtMs: T0 };
    const done = (seconds: number) => ({
      pool: 'web',
      queuedAtMs: at(seconds),
      startedAtMs: at(seconds) + 5,
      endedAtMs: at(seconds) + 25,
    });
    return count(
      [
        { phase: 'started', id: 'long', data: started, atMs: T0 },
        { phase: 'started', id: 'assumed', data: { ...started, assumed: ['queuedAtMs'] }, atMs: T0 },
        { phase: 'completed', id: 'short', data: done(200), atMs: at(201) },
        { phase: 'completed', id: 'late', data: done(4000), atMs: at(4001) }, // by now the first two have expired
      ],
      0,
    );
  }

  function measured(): DemandPartial {
    const sample = {
      startMs: T0,
      arrivals: 3,
      backlog: 2,
      inFlight: 1,
      service: [{ valueMs: 20, count: 3 }],
    };
    const span = { pool: 'web', partition: sampledPartition('prometheus'), bucketS: 1, fraction: 0 };
    return sampledPartial({ ...span, samples: [sample], toMs: T0 + 1000 }, undefined).partial;
  }

  function executions(): Message[] {
    const worker = { pool: 'web', workerId: 'web-1' };
    const request = {
      executionId: 'e',
      taskType: 'default',
      attempt: 1,
      queuedAtMs: T0,
      deadlineAtMs: T0 + 1000,
    };
    const [startedAtMs, endedAtMs] = [T0 + 1, T0 + 2];
    return [
      startEvent(worker, request, startedAtMs),
      endEvent(worker, request, { phase: 'completed', startedAtMs, endedAtMs }),
      endEvent(worker, request, { phase: 'failed', startedAtMs: undefined, endedAtMs, errorClass: 'Error' }),
    ];
  }

  /** Events that others sent, as this version understands them. */
  function accepted(): Message[] {
    const fixtures = JSON.parse(readFileSync('libs/domain/events/fixtures/v1.json', 'utf8')) as {
      accepted: Record<string, Message>;
    };
    return Object.values(fixtures.accepted).map((message) => read('executions.v1', message) as Message);
  }

  function forecasts(): Forecast[] {
    const settings = { pool: 'web', bucketS: 1, seasonsS: [20], horizonsS: [1, 2, 5] };
    const memory = newForecastMemory(settings);
    const closed = Array.from({ length: 50 }, (_, i) => ({ startMs: T0 + i * 1000, arrivals: 5 + (i % 3) }));
    return closed.flatMap((bucket) => forecastStep({ settings, closed: [bucket] }, memory).output ?? []);
  }

  function decisions(): Message[] {
    const serviceMs = emptySketch();
    for (let valueMs = 5; valueMs < 15; valueMs++) addToSketch(serviceMs, valueMs);
    const forecast = forecasts().at(-1) as Forecast;
    const nowMs = forecast.originMs + forecast.bucketS * 1000;
    const rates = { arrivalRatePerS: 1000, attemptsPerArrival: 1, trailingRatePerS: 1000 };
    const demand = { ...rates, backlog: 7, inFlight: 3, serviceMs, responseMs: serviceMs, asOfMs: nowMs };
    const fleet = { ready: 2, starting: 0, draining: 0, desired: 2, slotsPerWorker: 1, leadTimeS: 3 };
    const scaleOut = { maxWorkersPerMinute: 1 };
    const policy = policySchema.parse({ mode: 'predictive', bounds: { maxWorkers: 50 }, scaleOut });
    const given = { nowMs, pool: 'web', bucketS: 1, seasonS: 1440, policy, policyVersion: 1, fleet };
    return [demand, undefined].map((seen) => {
      const { decision, memory } = decide({ ...given, demand: seen, forecast }, undefined);
      return { v: 1, decision, memory, policyVersion: 1 };
    });
  }

  const WRITTEN: [string, Message[]][] = [
    ['executions.v1', executions()],
    ['demand.v1', [...counted().partials, measured()]],
    ['forecasts.v1', forecasts()],
    ['decisions.v1', decisions()],
  ];

  test.each([...WRITTEN, ['executions.v1', accepted()]] as typeof WRITTEN)('%s', (topic, messages) => {
    expect(messages.length).toBeGreaterThan(1);
    for (const message of sent(messages)) {
      const known = READ_BEFORE[topic]?.safeParse(message);
      expect(known?.error).toBeUndefined();
      expect(message).toMatchObject(known?.data as object);
    }
  });

  test.each(WRITTEN)('%s has every field that the version before wrote', (topic, messages) => {
    const written = new Set(sent(messages).flatMap((message) => fieldsOf(message)));
    const before = (MESSAGES[topic] as Message[]).flatMap((message) => fieldsOf(message));
    expect(before.filter((field) => !written.has(field))).toEqual([]);
  });

  const KINDS: Record<DecisionKind, true> = { scale: true, hold: true, blind: true };

  // A word that this version reads and the next one will write is left out here until then.
  test.each([
    ['executions.v1', 'type', PHASES.map((phase) => `com.headroom.execution.${phase}.v1`)],
    ['forecasts.v1', 'provenance.state', forecastSchema.shape.provenance.shape.state.options],
    ['decisions.v1', 'decision.kind', Object.keys(KINDS)],
  ])('%s has no word for %s that the version before does not know', (topic, field, words) => {
    const [message] = MESSAGES[topic] as [Message];
    const isKnown = (word: string) =>
      READ_BEFORE[topic]?.safeParse(withWord(message, field.split('.'), word)).success;
    expect(words.filter((word) => !isKnown(word))).toEqual([]);
    expect(isKnown('another')).toBe(false);
  });

  test('ingest-state.v1', () => {
    const kinds = new Set<string>();
    for (const { key, value } of counted().state) {
      const [kind = ''] = key.split(':');
      if (value === null) continue;
      kinds.add(kind);
      expect(STATE_READ_BEFORE[kind]?.safeParse(JSON.parse(value)).error).toBeUndefined();
    }
    expect([...kinds].toSorted()).toEqual(Object.keys(STATE_READ_BEFORE).toSorted());
  });

  /** Of every state that a payload can be in. */
  function deadLetters(): Letter[] {
    const refused: RefusedRecord = {
      key: 'exec-9',
      value: '{"half":',
      headers: {
        traceparent: '00-1',
        'headroom-replays': '2',
        'headroom-replayed-from': 'executions.dlq.v1[0]@7',
      },
      reason: 'malformed_json',
      detail: 'Unexpected end of JSON input',
      source: 'executions.v1[3]@17',
      about: { topic: 'executions.v1', partition: PARTITION, offset: 17, timeMs: T0 },
    };
    const mapped = { mapping: 'jobs', elements: { refused: [1], of: 3 }, about: { queue: 'jobs' } };
    return [
      deadLetterRecord(refused, KEEP),
      deadLetterRecord({ ...refused, isPart: true }, KEEP),
      deadLetterRecord({ ...refused, ...mapped, headers: {} }, { ...KEEP, payload: 'redact' }),
    ] as Letter[];
  }

  test('executions.dlq.v1', () => {
    const written = sent(deadLetters());
    const known = written.map((letter) => LETTER_READ_BEFORE.safeParse(letter));
    expect(known.map(({ error }) => error)).toEqual(written.map(() => undefined));
    expect(known.map(({ data }) => data?.headers)).toMatchObject([
      { 'headroom-payload': 'kept', 'headroom-about': { partition: PARTITION }, 'headroom-replays': '2' },
      { 'headroom-payload': 'cut', 'headroom-payload-bytes': '8' },
      { 'headroom-payload': 'redacted', 'headroom-mapping': 'jobs', 'headroom-elements': { of: 3 } },
    ]);
    expect(new Set(known.map(({ data }) => data?.headers['headroom-payload']))).toEqual(
      new Set(PAYLOAD_STATES),
    );
    const names = new Set(written.flatMap((letter) => Object.keys(letter.headers)));
    const before = LETTERS.flatMap((letter) => Object.keys(letter.headers));
    expect(before.filter((name) => !names.has(name))).toEqual([]);
  });
});
