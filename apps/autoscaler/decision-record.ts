import { z } from 'zod';
import type { DecisionRecord } from '#adapters/store';
import { poolName } from '#domain/events';

/** No table of PostgreSQL takes the character NUL. */
const text = z.string().regex(/^[^\0]*$/);
const numbers = <Name extends string>(...names: Name[]) =>
  z.looseObject(Object.fromEntries(names.map((name) => [name, z.number()])) as Record<Name, z.ZodNumber>);

/** What the table, the API and the next decision look into; reasons and limits of newer versions are let through. */
const schema = z.looseObject({
  v: z.literal(1),
  decision: z.looseObject({
    kind: z.enum(['scale', 'hold', 'blind']),
    pool: poolName,
    atMs: z.int(),
    desired: z.number(),
    previousDesired: z.number(),
    reason: text,
    explanation: text,
    /** The version before told none. */
    inputs: z.record(text, z.number()).default({}),
    objectiveReachable: z.boolean(),
    limits: z.array(numbers('from', 'to').extend({ limit: text })),
  }),
  memory: numbers('lastDesired', 'lastNowMs').extend({
    v: z.literal(1),
    recentDesired: z.array(numbers('atMs', 'desired')),
    recentChanges: z.array(numbers('atMs', 'delta')),
  }),
  policyVersion: z.int32(),
  count: z.int32().min(1).optional(),
});

/** A record of decisions.v1; undefined: it is none, and must not end its readers. */
export function decisionRecord(value: unknown): DecisionRecord | undefined {
  const read: unknown = schema.safeParse(value).data;
  return read as DecisionRecord | undefined;
}
