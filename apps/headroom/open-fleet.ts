import { join } from 'node:path';
import { LocalProcessFleet, RemoteFleet, type Fleet } from '#adapters/fleet';
import {
  canSign,
  signedTokens,
  tokensOfFile,
  type Scope,
  type TokenSource,
  type Verifier,
} from '#adapters/identity';
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
  const token =
    fleet.tokenFile === undefined
      ? signed(
          { config, identity },
          {
            scopes: ['fleet:read', 'fleet:scale'],
            subject: 'fleet-client',
            otherwise: 'or fleet.tokenFile be given',
          },
        )
      : tokensOfFile(fleet.tokenFile);
  return new RemoteFleet({ url: fleet.url, token, observer: observers.remoteFleet });
}

function localFleet(
  { config, identity, observers }: Given,
  fleet: FleetConfig<'local-processes'>,
): LocalProcessFleet {
  const pools = Object.entries(config.pools).flatMap(([pool, { worker }]) => {
    const { handlers: handlersDir, ...settings } = worker;
    return handlersDir === undefined ? [] : [[pool, { ...settings, handlersDir }] as const];
  });
  const about = { scopes: ['events:write'], subject: 'worker', otherwise: 'where workers run' } as const;
  return new LocalProcessFleet({
    workerEntry: WORKER_ENTRY,
    pools: Object.fromEntries(pools),
    events: {
      url: fleet.eventsUrl ?? originOf(config.api),
      token: signed({ config, identity }, about),
      renewMs: (lifetimeS(config) * 1000) / 2,
      onRenewalFailed: observers.tokenRenewalFailed,
    },
    observer: observers.fleet,
  });
}

function signed(
  { config, identity }: Pick<Given, 'config' | 'identity'>,
  about: { scopes: readonly Scope[]; subject: string; otherwise: string },
): TokenSource {
  const { otherwise, ...request } = about;
  if (!canSign(identity))
    throw new CannotSign(`identity.keyFile: must be a private key ${otherwise}, got a public one`);
  return signedTokens(identity, { ...request, lifetimeS: lifetimeS(config) });
}

function lifetimeS({ identity }: Config): number {
  return Math.min(TOKEN_MAX_S, identity.tokenMaxS);
}
