import { z } from 'zod';

/**
 * What a pool promises. A request violates it when it is slower than `responseMs`, fails, or is rejected;
 * the objective holds while the share of violating requests stays at or below 1 − `quantile`.
 */
export const objectiveSchema = z.strictObject({
  /** Response time at the router, from arrival: queue wait plus service. */
  responseMs: z.number().positive().max(3_600_000).default(50),
  /** Share of requests that must answer within `responseMs`, e.g. 0.95 for p95. */
  quantile: z.number().min(0.5).max(0.9999).default(0.95),
  errorRatioMax: z
    .number()
    .min(0)
    .max(1)
    .default(0.001)
    .describe(
      'Largest tolerated share of failed or rejected requests. Recorded; decisions do not use it yet.',
    ),
});
export type Objective = z.infer<typeof objectiveSchema>;
