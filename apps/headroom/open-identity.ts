import { openKeyFile, openLocalIdentity, type OpenedKey } from '#adapters/identity';
import type { Config } from './config.js';

/** The key that the configuration names, else that of the data directory, which `create` makes when there is none. */
export function openIdentity(
  given: Pick<Config, 'identity'> & { dataDir: string; create: boolean },
): Promise<OpenedKey> {
  const { identity, dataDir, create } = given;
  const { keyFile, tokenMaxS } = identity;
  return keyFile === undefined
    ? openLocalIdentity(dataDir, { create, tokenMaxS })
    : openKeyFile(keyFile, { tokenMaxS });
}
