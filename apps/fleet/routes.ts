import { z } from 'zod';
import { changesQuery, membershipChanges, observedPools, orderBody } from '#adapters/fleet';
import type { Route } from '#adapters/http-api';
import { poolName } from '#domain/events';

export const poolParams = z.strictObject({ pool: poolName });

export const FLEET_ROUTES = {
  observe: {
    method: 'GET',
    path: '/v1/fleet/pools',
    summary: 'Workers of every pool that runs here, by state',
    scope: 'fleet:read',
    response: observedPools,
  },
  scale: {
    method: 'PUT',
    path: '/v1/fleet/pools/:pool',
    summary: 'Order a number of workers; answered when the order is taken, not when it is filled',
    scope: 'fleet:scale',
    params: poolParams,
    body: orderBody,
    status: 204,
    refusals: { 404: 'The pool has no workers here.', 503: 'The fleet is stopping.' },
  },
  changes: {
    method: 'GET',
    path: '/v1/fleet/memberships',
    summary: 'Who may be chosen: what has changed since an answer, as soon as something has (long poll)',
    scope: 'fleet:read',
    query: changesQuery,
    response: membershipChanges,
    refusals: { 503: 'The fleet is stopping, or has as many followers as it can have.' },
  },
} as const satisfies Record<string, Route>;
