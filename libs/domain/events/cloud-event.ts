import {
  checkExecutionEvent,
  parseExecutionEvent,
  MAX_EVENT_BYTES,
  type ParsedEvent,
  type ParsedForCounting,
} from './execution-event.js';
import { scanEvent, type Utf8 } from './scan-event.js';

/** Attributes of an event that headers can carry. */
const ATTRIBUTES = ['specversion', 'id', 'source', 'type', 'subject', 'time', 'traceparent'] as const;
const STRUCTURED = /^application\/cloudevents/i;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * How each protocol names the header of an attribute: `ce-id` in HTTP, where values are percent-encoded, `ce_id` in Kafka
 * (CloudEvents 1.0, bindings for HTTP 3.1.3 and for Kafka 3.2).
 */
const PREFIX = { http: 'ce-', kafka: 'ce_' } as const;
export type Protocol = keyof typeof PREFIX;

/**
 * An event in binary mode: its attributes are headers, `data` is the body. Undefined: it is in structured mode, or no
 * CloudEvent.
 */
export function binaryEvent(protocol: Protocol, headers: Headers, data: unknown): object | undefined {
  if (!isBinary(protocol, headers)) return undefined;
  const attributes = ATTRIBUTES.flatMap((name) => {
    const value = headers[`${PREFIX[protocol]}${name}`];
    if (typeof value !== 'string') return [];
    return [[name, protocol === 'http' ? percentDecoded(value) : value]];
  });
  return { ...(Object.fromEntries(attributes) as object), data };
}

/** Parses a record of a topic, in structured or binary mode. Never throws: a bad event is an outcome. */
export function parseEventRecord(value: string, headers: Headers): ParsedEvent {
  if (!isBinary('kafka', headers) || Buffer.byteLength(value) > MAX_EVENT_BYTES)
    return parseExecutionEvent(value);
  try {
    return checkExecutionEvent(binaryEvent('kafka', headers, JSON.parse(value)));
  } catch (error) {
    return { ok: false, reason: 'malformed_json', detail: (error as Error).message };
  }
}

/** What {@link parseEventRecord} says of a record, as far as counting needs it; `utf8`: where its value lies already. */
export function parseForCounting(record: {
  value: string | null;
  headers: Headers;
  utf8?: Utf8 | undefined;
}): ParsedForCounting {
  const { headers } = record;
  const event = isBinary('kafka', headers) ? undefined : scanEvent(record.utf8 ?? utf8Of(record.value ?? ''));
  return event === undefined ? parseEventRecord(record.value ?? '', headers) : { ok: true, event };
}

function utf8Of(text: string): Utf8 {
  const bytes = Buffer.from(text);
  return { bytes, from: 0, to: bytes.length };
}

function isBinary(protocol: Protocol, headers: Headers): boolean {
  if (headers[`${PREFIX[protocol]}specversion`] === undefined) return false;
  const contentType = headers['content-type'];
  return typeof contentType !== 'string' || !STRUCTURED.test(contentType);
}

/** What is no encoding stays as it is: the schema judges it. */
function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
