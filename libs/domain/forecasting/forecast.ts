import { z } from 'zod';

/** Quantile levels of every forecast (docs/ARCHITECTURE.md, "Forecast"). */
export const LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999] as const;

/**
 * Arrivals per future bucket as quantiles; the message of `forecasts.v1`. The target bucket of a horizon starts at
 * originMs + horizonS·1000, where the origin is the *start* of the last closed bucket.
 */
export const forecastSchema = z.object({
  v: z.literal(1),
  pool: z.string(),
  originMs: z.number().int(),
  bucketS: z.number().positive(),
  horizons: z
    .array(
      z.object({
        /** A multiple of bucketS. */
        horizonS: z.number().positive(),
        levels: z.array(z.number()),
        /** Arrivals per bucket at `levels`, non-decreasing, ≥ 0. */
        values: z.array(z.number().nonnegative()),
      }),
    )
    .min(1),
  provenance: z.object({
    /** Weight of each expert at the first horizon; sums to 1. */
    weights: z.record(z.string(), z.number()),
    /** Closed buckets of history behind the forecast. */
    historyBuckets: z.number().int().nonnegative(),
    /** `warm`: every expert may speak. `reactive-only`: too little history, quantiles are wide and recent. */
    state: z.enum(['warm', 'reactive-only']),
  }),
});
export type Forecast = z.infer<typeof forecastSchema>;
