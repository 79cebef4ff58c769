import { createHash } from 'node:crypto';
import { z } from 'zod';
import { TOPICS, type NewRecord, type StoredRecord } from '#adapters/event-log';
import type { About } from '#domain/mapping';

/** What dead letters keep of payloads: `deadLetters` of the configuration. */
export interface PayloadKeeping {
  payload: 'keep' | 'redact';
  /** Of a payload that is kept; what is longer is cut, bytes. */
  maxPayloadBytes: number;
}

/** A record that counts nowhere, or of which some elements do not. */
export interface RefusedRecord {
  /** '' when it had none. */
  key: string;
  value: string | null;
  /** The value is not all that came. */
  isPart?: boolean;
  headers: Readonly<Record<string, string>>;
  reason: string;
  /** `what: rule, got actual` */
  detail: string;
  /** Where it was, for whoever looks for it: `executions.v1[2]@17`, or `POST /v1/events`. */
  source: string;
  /** What its source knew about it, its headers left out. */
  about: About;
  /** The mapping that refused it; without one it is no event. */
  mapping?: string | undefined;
  /** Of its elements those that are refused, by their places from 0; absent: all of it is. */
  elements?: Elements | undefined;
}

const elementsSchema = z.object({ refused: z.array(z.int()), of: z.int() });
type Elements = z.output<typeof elementsSchema>;
const aboutSchema = z.record(z.string(), z.unknown());

/** `cut`: not all of the record is there. Only what is `kept` can be replayed. */
export const PAYLOAD_STATES = ['kept', 'cut', 'redacted'] as const;

/** A record of `executions.dlq.v1`, read. */
export interface StoredLetter {
  partition: number;
  offset: number;
  /** When it was written, epoch ms. */
  atMs: number;
  reason: string;
  detail: string;
  source: string;
  /** As they came with the record. */
  key: string;
  headers: Record<string, string>;
  about: About;
  mapping: string | undefined;
  elements: Elements | undefined;
  payload: {
    state: (typeof PAYLOAD_STATES)[number];
    /** Of the whole payload, as are the bytes: by these its sender finds the record. */
    sha256: string;
    bytes: number;
    text: string | null;
  };
  /** How often the record had been replayed when it was refused this time. */
  replays: number;
  /** The letter that the last replay was of: `executions.dlq.v1[0]@5`. */
  replayedFrom: string | undefined;
}

/** Why a letter is not replayed. Each is a counter. */
export const REPLAY_REFUSALS = [
  'no_letter',
  'redacted',
  'cut',
  'too_many_replays',
  'unknown_mapping',
  'mapping_changed',
  'still_refused',
  'overloaded',
  'unavailable',
] as const;
export type ReplayRefusal = (typeof REPLAY_REFUSALS)[number];

/** Headers of ours begin so; all others are the record's own. */
const OURS = 'headroom-';
const OWN = {
  reason: `${OURS}reason`,
  detail: `${OURS}detail`,
  source: `${OURS}source`,
  about: `${OURS}about`,
  mapping: `${OURS}mapping`,
  elements: `${OURS}elements`,
  state: `${OURS}payload`,
  bytes: `${OURS}payload-bytes`,
  sha256: `${OURS}payload-sha256`,
  replays: `${OURS}replays`,
  replayedFrom: `${OURS}replayed-from`,
} as const;

/** Stands in text for bytes that are none. Whoever sent this very character has its record taken for such a one. */
const REPLACED = '\uFFFD';

// A letter must fit in a record of the log whatever came, or its partition would never go on.
const MAX_KEY_BYTES = 2_048;
const MAX_HEADERS_BYTES = 16_384;
const MAX_ABOUT_BYTES = 4_096;
const MAX_TEXT_CHARS = 1_000;

/** What came of a record of a log. By name: what the log decodes only when it is asked for is in no copy of the record. */
export function cameIn({
  key,
  value,
  headers,
  isPart,
}: StoredRecord): Pick<RefusedRecord, 'key' | 'value' | 'headers' | 'isPart'> {
  return { key, value, headers, isPart: isPart === true };
}

/** A record of `executions.dlq.v1`: what came, as far as it is kept, and in headers why it counts nowhere. */
export function deadLetterRecord(refused: RefusedRecord, keeping: PayloadKeeping): NewRecord {
  const { mapping, elements } = refused;
  const text = refused.value ?? '';
  const { kept, isWhole } = keptOf(refused, keeping.maxPayloadBytes);
  const isRedacted = keeping.payload === 'redact';
  const headers = {
    ...kept.headers,
    ...replaysSoFar(refused.headers),
    [OWN.reason]: refused.reason,
    [OWN.detail]: (isRedacted ? withoutPayload(refused) : refused.detail).slice(0, MAX_TEXT_CHARS),
    [OWN.source]: refused.source.slice(0, MAX_TEXT_CHARS),
    [OWN.about]: kept.about,
    [OWN.state]: isRedacted ? 'redacted' : isWhole ? 'kept' : 'cut',
    [OWN.bytes]: String(Buffer.byteLength(text)),
    [OWN.sha256]: createHash('sha256').update(text).digest('hex'),
    ...(mapping !== undefined && { [OWN.mapping]: mapping }),
    ...(elements !== undefined && { [OWN.elements]: JSON.stringify(elements) }),
  };
  return { key: kept.key, value: isRedacted ? null : kept.value, headers };
}

/** Of each part of a record as much as a letter may hold. */
function keptOf({ key, value, headers, about, isPart = false }: RefusedRecord, maxPayloadBytes: number) {
  const own = Object.entries(headers).filter(([name]) => !name.startsWith(OURS));
  const fitting = fittingHeaders(own);
  const aboutText = JSON.stringify(about);
  const kept = {
    key: cutTo(key, MAX_KEY_BYTES),
    value: value === null ? null : cutTo(value, maxPayloadBytes),
    headers: Object.fromEntries(fitting),
    about: Buffer.byteLength(aboutText) <= MAX_ABOUT_BYTES ? aboutText : '{}',
  };
  const isWhole =
    !isPart &&
    ![key, value ?? '', ...own.map(([, text]) => text)].some((text) => text.includes(REPLACED)) &&
    kept.key === key &&
    kept.value === value &&
    kept.about === aboutText &&
    fitting.length === own.length;
  return { kept, isWhole };
}

/** The first ones that fit together. */
function fittingHeaders(headers: [string, string][]): [string, string][] {
  let bytes = 0;
  return headers.filter(([name, value]) => {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    return bytes <= MAX_HEADERS_BYTES;
  });
}

function cutTo(text: string, maxBytes: number): string {
  return Buffer.byteLength(text) <= maxBytes ? text : Buffer.from(text).subarray(0, maxBytes).toString();
}

/** Reasons whose detail repeats nothing of a record but numbers and the name of a pool. */
const TELL_NO_PAYLOAD = ['oversized', 'unreadable', 'unknown_version', 'future', 'too_old', 'too_many_pools'];

/** The rule alone: what came instead is a piece of the payload. */
function withoutPayload({ reason, detail }: RefusedRecord): string {
  if (TELL_NO_PAYLOAD.includes(reason)) return detail;
  return reason === 'malformed_json' ? 'must be JSON' : detail.replace(/, got .*$/s, '');
}

/** What {@link replayMarks} wrote, as long as it can be that: senders choose their headers. */
function replaysSoFar(headers: RefusedRecord['headers']): Record<string, string> {
  const replays = countIn(headers[OWN.replays]);
  const from = headers[OWN.replayedFrom] ?? '';
  if (replays === 0 || !PLACE.test(from)) return {};
  return { [OWN.replays]: String(replays), [OWN.replayedFrom]: from };
}

/** Headers of what is written in place of a letter: those that came with it, and from which letter it is. */
export function replayedHeaders(letter: StoredLetter): Record<string, string> {
  return { ...letter.headers, ...replayMarks(letter) };
}

/** By these a letter that it becomes again knows how often it has been replayed. */
export function replayMarks({ replays, ...at }: StoredLetter): Record<string, string> {
  return { [OWN.replays]: String(replays + 1), [OWN.replayedFrom]: letterPlace(at) };
}

function letterPlace({ partition, offset }: Pick<StoredLetter, 'partition' | 'offset'>): string {
  return `${TOPICS.deadLetters}[${partition}]@${offset}`;
}
const PLACE = /^[\w.-]{1,100}\[\d{1,6}\]@\d{1,16}$/;

/** Reads what {@link deadLetterRecord} wrote. Never throws: of anything else the reason is `unknown`. */
export function letterOf(partition: number, record: StoredRecord): StoredLetter {
  const { key, value, offset, timestampMs: atMs, headers: all } = record;
  const text = (name: keyof typeof OWN): string | undefined => all[OWN[name]];
  const headers = Object.fromEntries(Object.entries(all).filter(([name]) => !name.startsWith(OURS)));
  const state = PAYLOAD_STATES.find((known) => known === text('state')) ?? 'cut';
  return {
    partition,
    offset,
    atMs,
    reason: text('reason') ?? 'unknown',
    detail: text('detail') ?? '',
    source: text('source') ?? '',
    key,
    headers,
    about: parsed(aboutSchema, text('about')) ?? {},
    mapping: text('mapping'),
    elements: parsed(elementsSchema, text('elements')),
    payload: { state, sha256: text('sha256') ?? '', bytes: countIn(text('bytes')), text: value },
    replays: countIn(text('replays')),
    replayedFrom: text('replayedFrom'),
  };
}

/** Only Headroom writes the topic, but nobody else can be kept from it. */
function parsed<T>(schema: z.ZodType<T>, json: string | undefined): T | undefined {
  if (json === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}

function countIn(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}
