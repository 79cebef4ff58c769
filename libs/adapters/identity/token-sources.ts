import { readFile } from 'node:fs/promises';
import type { Identity, TokenRequest } from './local-tokens.js';

/** The token of a call to another process; asked for every call. */
export type TokenSource = () => Promise<string>;

/** A token file that is replaced is read again within this time, ms. */
const REREAD_MS = 30_000;

/** Signed here, anew after half of its life. */
export function signedTokens(
  identity: Pick<Identity, 'signToken'>,
  request: TokenRequest,
  nowMs: () => number = Date.now,
): TokenSource {
  return renewed(
    async () => (await identity.signToken(request)).token,
    (request.lifetimeS * 1000) / 2,
    nowMs,
  );
}

/** Put there by somebody else, who replaces it before it ends. Rejects while it cannot be read. */
export function tokensOfFile(file: string, nowMs: () => number = Date.now): TokenSource {
  const read = async () => {
    try {
      return (await readFile(file, 'utf8')).trim();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Error(`token file ${file}: must be readable, got ${code}`, { cause: error });
    }
  };
  return renewed(read, REREAD_MS, nowMs);
}

/** A clock that was set back makes a token older than it is, never younger: it is renewed. */
function renewed(renew: () => Promise<string>, afterMs: number, nowMs: () => number): TokenSource {
  let held: { token: string; atMs: number } | undefined;
  return async () => {
    const ageMs = held === undefined ? Infinity : nowMs() - held.atMs;
    if (held === undefined || ageMs >= afterMs || ageMs < 0) held = { token: await renew(), atMs: nowMs() };
    return held.token;
  };
}
