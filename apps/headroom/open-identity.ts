import { canSign, openKeyFile, openLocalIdentity, type Identity, type OpenedKey } from '#adapters/identity';
import type { Outcome } from './commands/command-context.js';
import type { Config } from './config.js';
import { EXIT } from './exit-codes.js';

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

/** The key with which a command signs tokens, like the program that it belongs to. */
export async function openSigner(
  given: Pick<Config, 'identity'> & { dataDir: string },
): Promise<Outcome<Identity>> {
  const opened = await openIdentity({ ...given, create: false });
  if (!opened.ok) {
    const code = opened.reason === 'not-readable' ? EXIT.notAllowed : EXIT.usage;
    return { ok: false, code, message: opened.problem, hint: opened.hint };
  }
  const { identity } = opened;
  if (canSign(identity)) return { ok: true, value: identity };
  const { keyFile } = given.identity;
  const message = `identity.keyFile ${keyFile}: must be a private key to sign, got a public one`;
  return { ok: false, code: EXIT.usage, message };
}
