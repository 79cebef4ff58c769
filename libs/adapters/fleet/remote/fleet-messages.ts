import { z } from 'zod';
import { poolName } from '#domain/events';
import type { FleetObservation, Membership } from '../fleet.js';

/** How a fleet's host and whoever uses it from another process talk: the bodies of `/v1/fleet`. */

/** A question of a follower waits this long for news, seconds. */
export const MAX_WAIT_S = 25;
/** An order beyond it is a mistake, whatever the fleet. */
export const MAX_DESIRED = 100_000;

const count = z.number().int().min(0);

const observation = z.object({
  ready: count,
  starting: count,
  draining: count,
  desired: count,
  ordered: z.boolean(),
  maxWorkers: z.number().int().min(1),
  slotsPerWorker: z.number().int().min(1),
  leadTimeS: z.number().min(0),
  crashes: count,
}) satisfies z.ZodType<FleetObservation>;

export const observedPools = z.object({ items: z.array(observation.extend({ pool: poolName })) });

export const orderBody = z.strictObject({ desired: count.max(MAX_DESIRED).describe('Workers in all.') });

const membership = z.object({
  pool: poolName,
  members: z.array(
    z.object({
      workerId: z.string().min(1),
      url: z.url({ protocol: /^https?$/ }),
      slots: z.number().int().min(1),
      state: z.enum(['ready', 'draining']),
    }),
  ),
}) satisfies z.ZodType<Membership>;

export const changesQuery = z.strictObject({
  follower: z.uuid().describe('Who asks: the same for as long as it follows.'),
  host: z.uuid().optional().describe('`host` of the answer before.'),
  after: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('`version` of the answer before; says that this follower acts on it by now.'),
  waitS: z.coerce.number().min(0).max(MAX_WAIT_S).default(0).describe('How long to wait for news.'),
});

export const membershipChanges = z.object({
  host: z.uuid().describe('Another one than before: the host has started anew, and its workers with it.'),
  version: count,
  complete: z.boolean().describe('Every pool is in `items`; otherwise those that have changed.'),
  items: z.array(membership),
});
export type MembershipChanges = z.output<typeof membershipChanges>;
