import { join } from 'node:path';
import { LocalProcessFleet, RemoteFleet, type Fleet } from '#adapters/fleet';
import { canSign, signedTokens, tokensOfFile, type Identity, type Verifier } from '#adapters/identity';
import type { Config } from './config.js';
import type { Observers } from './observers.js';
import { originOf } from './origin.js';

/** Workers and other services sign on with a token of this life at most, and get a new one after half of it. */
const TOKEN_MAX_S = 3_600;

const WORKER_ENTRY = join(import.meta.dirname, '..', 'worker', 'main.js');

type FleetConfig<Kind> = Extract<Config['fleet'], { kind: Kind }>;

interface Given {
  config: Config;
  identity: Verifier;
  observers: Observers;
}

/** The key is a public one, and something must be signed. */
export class CannotSign extends Error {
  override name = 'CannotSign';
}

/**
 * The workers of the pools, as the configuration says. Without `hostsWorkers` a process with local workers has none: they
 * are another's. Throws {@link CannotSign}.
 */
export function openFleet(given: Given & { hostsWorkers: boolean }): Fleet {
  const { fleet } = given.config;
  if (fleet.kind === 'remote') return remoteFleet(given, fleet);
  if (given.hostsWorkers) return localFleet(given, fleet);
  return new LocalProcessFleet({ workerEntry: WORKER_ENTRY, pools: {}, observer: given.observers.fleet });
}

function remoteFleet({ config, identity, observers }: Given, fleet: FleetConfig<'remote'>): RemoteFleet {
  const { url, tokenFile } = fleet;
  const signed = () => {
    const scopes = ['fleet:read', 'fleet:scale'] as const;
    const request = { scopes, lifetimeS: lifetimeS(config), subject: 'fleet-client' };
    return signedTokens(signer(identity, 'or fleet.tokenFile be given'), request);
  };
  const token = tokenFile === undefined ? signed() : tokensOfFile(tokenFile);
  return new RemoteFleet({ url, token, observer: observers.remoteFleet });
}

function localFleet(
  { config, identity, observers }: Given,
  fleet: FleetConfig<'local-processes'>,
): LocalProcessFleet {
  const pools = Object.entries(config.pools).flatMap(([pool, { worker }]) => {
    const { handlers: handlersDir, ...settings } = worker;
    return handlersDir === undefined ? [] : [[pool, { ...settings, handlersDir }] as const];
  });
  const options = { workerEntry: WORKER_ENTRY, pools: Object.fromEntries(pools), observer: observers.fleet };
  if (pools.length === 0) return new LocalProcessFleet(options);
  const own = signer(identity, 'where workers run');
  const request = { scopes: ['events:write'], lifetimeS: lifetimeS(config), subject: 'worker' } as const;
  return new LocalProcessFleet({
    ...options,
    events: {
      url: fleet.eventsUrl ?? originOf(config.api),
      // A new one each time: whoever gets it keeps it for a while.
      token: async () => (await own.signToken(request)).token,
      renewMs: (request.lifetimeS * 1000) / 2,
      onRenewalFailed: observers.tokenRenewalFailed,
    },
  });
}

function signer(identity: Verifier, otherwise: string): Identity {
  if (canSign(identity)) return identity;
  throw new CannotSign(`identity.keyFile: must be a private key ${otherwise}, got a public one`);
}

function lifetimeS({ identity }: Config): number {
  return Math.min(TOKEN_MAX_S, identity.tokenMaxS);
}
