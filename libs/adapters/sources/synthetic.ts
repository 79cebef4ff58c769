import { z } from 'zod';
import { syntheticDay } from '#domain/simulation';
import type { RateStep } from './arrivals.js';

/** A made-up load: days compressed to `seasonS`, each with a lunch peak, a flash crowd and noise. */
export const syntheticSourceSchema = z.strictObject({
  kind: z.literal('synthetic'),
  seed: z
    .number()
    .int()
    .min(0)
    .max(4_294_967_295)
    .default(1)
    .describe('The same seed sends the same requests.'),
  seasonS: z.number().int().min(10).max(86_400).default(600).describe('Length of one made-up day, seconds.'),
  peakRps: z.number().positive().max(5000).default(250).describe('Requests per second at the peak of a day.'),
  startDay: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('First day; days differ in their noise and flash crowd.'),
  days: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('Stops after this many days; default: never.'),
  deadlineMs: z
    .number()
    .int()
    .min(1)
    .max(600_000)
    .default(10_000)
    .describe('A request without an answer by then is given up.'),
});
export type SyntheticSource = z.output<typeof syntheticSourceSchema>;

/** Rates of day after day, a step per second. Without `days` it never ends. */
export function* syntheticRates(source: SyntheticSource): Generator<RateStep, void, undefined> {
  const { seed, seasonS, peakRps, startDay, days = Number.POSITIVE_INFINITY } = source;
  for (let day = startDay; day < startDay + days; day++) {
    for (const ratePerS of syntheticDay({ seed, seasonS, peakRps, day }))
      yield { durationMs: 1000, ratePerS };
  }
}
