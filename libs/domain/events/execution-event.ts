import { z } from 'zod';

/** What happened to an execution. The four types of docs/ARCHITECTURE.md, "Execution events". */
export const PHASES = ['queued', 'started', 'completed', 'failed'] as const;
export type Phase = (typeof PHASES)[number];

/** An event larger than this is refused before it is parsed (bytes of its JSON). */
export const MAX_EVENT_BYTES = 16_384;

const TYPE = /^com\.headroom\.execution\.([a-z]+)\.v(\d+)$/;
const SCHEMA_VERSION = 1;

// Epoch milliseconds. The year 2100 bounds typing errors such as microseconds given as milliseconds.
const epochMs = z.number().positive().max(4_102_444_800_000);
const name = z.string().min(1).max(200);

/** Pool names are also policy ids, metric labels and URL segments: lower case, digits, dash. */
export const poolName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'lower-case letters, digits and dashes, 1 to 63 characters');

const executionData = z
  .object({
    pool: poolName,
    taskType: name.default('default'),
    /** 1 for the first try; only attempt 1 is an arrival. */
    attempt: z.number().int().min(1).max(1000).default(1),
    workerId: name.optional(),
    errorClass: name.optional(),
    queuedAtMs: epochMs,
    startedAtMs: epochMs.optional(),
    endedAtMs: epochMs.optional(),
    /**
     * Times that the sender does not know: each is given as the next later one, so that the event counts in a bucket.
     * Nothing is measured by them; an earlier event of the attempt may have told the real one.
     */
    assumed: z
      .array(z.enum(['queuedAtMs', 'startedAtMs']))
      .max(2)
      .optional(),
  })
  .refine((d) => d.startedAtMs === undefined || d.startedAtMs >= d.queuedAtMs, {
    message: 'startedAtMs ≥ queuedAtMs',
  })
  .refine((d) => d.endedAtMs === undefined || d.endedAtMs >= (d.startedAtMs ?? d.queuedAtMs), {
    message: 'endedAtMs ≥ startedAtMs ≥ queuedAtMs',
  });

/**
 * A CloudEvents 1.0 event in structured JSON mode. `subject` is the execution id. Every event carries the
 * earlier times of its attempt, so that one event suffices to compute waits.
 */
export const executionEventV1 = z
  .object({
    specversion: z.literal('1.0'),
    id: name,
    source: name,
    type: z.enum(PHASES.map((p) => `com.headroom.execution.${p}.v1`) as [string, ...string[]]),
    subject: name,
    time: z.iso.datetime({ offset: true }).optional(),
    datacontenttype: z
      .string()
      .max(200)
      .regex(/^application\/json\s*(;|$)/i, 'application/json')
      .optional(),
    traceparent: z.string().max(100).optional(),
    data: executionData,
  })
  .superRefine((event, context) => {
    const phase = phaseOf(event.type);
    if (phase === 'started' && event.data.startedAtMs === undefined) {
      context.addIssue({ code: 'custom', path: ['data', 'startedAtMs'], message: 'required when started' });
    }
    if ((phase === 'completed' || phase === 'failed') && event.data.endedAtMs === undefined) {
      context.addIssue({ code: 'custom', path: ['data', 'endedAtMs'], message: `required when ${phase}` });
    }
    if (phase === 'completed' && event.data.startedAtMs === undefined) {
      context.addIssue({ code: 'custom', path: ['data', 'startedAtMs'], message: 'required when completed' });
    }
  });
export type ExecutionEvent = z.infer<typeof executionEventV1>;

/** The phase in an event type, e.g. `completed` of `com.headroom.execution.completed.v1`. */
export function phaseOf(type: string): Phase {
  return TYPE.exec(type)?.[1] as Phase;
}

/** Why an event cannot be used. Each is a counter and a dead-letter reason. */
export const REFUSALS = [
  'oversized',
  'malformed_json',
  'unknown_type',
  'unknown_version',
  'invalid',
] as const;
export type Refusal = (typeof REFUSALS)[number];

export type ParsedEvent =
  { ok: true; event: ExecutionEvent } | { ok: false; reason: Refusal; detail: string };

/** Parses one record value (JSON text). Never throws: a bad event is an outcome. */
export function parseExecutionEvent(text: string): ParsedEvent {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_EVENT_BYTES) {
    return { ok: false, reason: 'oversized', detail: `at most ${MAX_EVENT_BYTES} bytes, got ${bytes}` };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, reason: 'malformed_json', detail: (error as Error).message };
  }
  return checkExecutionEvent(value);
}

/** Like {@link parseExecutionEvent}, for a value that is already JSON. */
export function checkExecutionEvent(value: unknown): ParsedEvent {
  const known = checkType((value as { type?: unknown } | null)?.type);
  if (known !== undefined) return known;
  const parsed = executionEventV1.safeParse(withData(value as { data?: unknown; data_base64?: unknown }));
  if (parsed.success) return { ok: true, event: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, reason: 'invalid', detail: `${issue?.path.join('.')}: ${issue?.message}` };
}

/** CloudEvents may carry their data as bytes, in base64. Of ours these are JSON; what is none has no data. */
function withData<T extends { data?: unknown; data_base64?: unknown }>(event: T): T {
  const { data, data_base64: bytes } = event;
  if (data !== undefined || typeof bytes !== 'string') return event;
  try {
    return { ...event, data: JSON.parse(Buffer.from(bytes, 'base64').toString()) as unknown };
  } catch {
    return event;
  }
}

function checkType(type: unknown): ParsedEvent | undefined {
  const match = typeof type === 'string' ? TYPE.exec(type) : null;
  if (match === null || !PHASES.includes(match[1] as Phase)) {
    const detail = `type must be com.headroom.execution.{${PHASES.join(',')}}.v1, got ${JSON.stringify(type)}`;
    return { ok: false, reason: 'unknown_type', detail: detail.slice(0, 300) };
  }
  if (Number(match[2]) !== SCHEMA_VERSION) {
    return { ok: false, reason: 'unknown_version', detail: `version ${SCHEMA_VERSION}, got ${match[2]}` };
  }
  return undefined;
}
