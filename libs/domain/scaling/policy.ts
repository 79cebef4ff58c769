import { z } from 'zod';
import { objectiveSchema } from '#domain/slo';

/** How Headroom scales one pool. The policy's id is the pool's name. */
export const policySchema = z
  .strictObject({
    objective: objectiveSchema.prefault({}),
    /** `observe` decides and records but never acts; `reactive` ignores forecasts; `predictive` uses both. */
    mode: z.enum(['observe', 'reactive', 'predictive']).default('observe'),
    violationTargetRatio: z
      .number()
      .min(0.0001)
      .max(0.2)
      .default(0.01)
      .describe('Share of time in violation the operator accepts. Recorded; decisions do not use it yet.'),
    bounds: z
      .strictObject({
        minWorkers: z.number().int().min(0).max(100_000).default(1),
        maxWorkers: z.number().int().min(1).max(100_000).default(10),
      })
      .prefault({}),
    /** Reaction floor: latest rate × this. 1.1 is the cheapest safety there is. */
    reactionMarginRatio: z.number().min(1).max(3).default(1.1),
    /** K of the priced level: worker-buckets one violated bucket is worth. */
    violationPrice: z.number().min(0).max(10_000).default(25),
    /** Backlog is to be worked off within this time. */
    drainS: z.number().positive().max(3600).default(60),
    scaleIn: z
      .strictObject({
        /** Scale in to the largest desired of this long; default season ÷ 144 (10 min of a day), at least two lead times. */
        holdS: z.number().min(0).max(86_400).optional(),
        maxWorkersPerMinute: z.number().int().min(0).default(10_000),
      })
      .prefault({}),
    scaleOut: z.strictObject({ maxWorkersPerMinute: z.number().int().min(1).default(10_000) }).prefault({}),
  })
  .refine((p) => p.bounds.minWorkers <= p.bounds.maxWorkers, {
    path: ['bounds', 'minWorkers'],
    message: 'minWorkers ≤ maxWorkers',
  });
export type Policy = z.infer<typeof policySchema>;
