import { randomUUID } from 'node:crypto';
import { errors, importJWK, jwtVerify, SignJWT, type JWK } from 'jose';
import { SCOPES, type Scope } from './scopes.js';

export const ISSUER = 'headroom';
export const AUDIENCE = 'headroom-api';
export const ALGORITHM = 'ES256';
/** A stolen token ends by itself within a day; nothing longer is signed or accepted. */
export const MAX_TOKEN_LIFETIME_S = 86_400;
/** Clocks of two machines may differ by this much. */
const CLOCK_TOLERANCE_S = 5;
/** Tokens whose signature was checked already; a check costs a quarter of a millisecond, and workers call often. */
const MAX_KNOWN_TOKENS = 1000;
/** Longer than any token made here; a megabyte of header must not reach the signature check. */
const MAX_TOKEN_CHARS = 4096;

export interface TokenRequest {
  scopes: readonly Scope[];
  /** Seconds, > 0 and ≤ the identity's maximum. */
  lifetimeS: number;
  /** Who will use it; the log names it with every change of a policy. */
  subject: string;
}

export interface SignedToken {
  token: string;
  /** End of life, ISO 8601 UTC. */
  expiresAt: string;
}

export type Verified =
  | { ok: true; scopes: readonly Scope[]; subject: string }
  /** One stable word (a counter label), never a part of the token. */
  | { ok: false; reason: 'malformed' | 'expired' | 'signature' | 'claims' | 'lifetime' };

/** Checks the tokens of one key: all that a service needs which signs nothing. */
export interface Verifier {
  /** Never throws: a bad token is an outcome. Scopes that no longer exist are left out. */
  verifyToken(token: string): Promise<Verified>;
}

/** Signs them as well. */
export interface Identity extends Verifier {
  /** Throws RangeError when the lifetime is out of range: callers check what people typed. */
  signToken(request: TokenRequest): Promise<SignedToken>;
}

export function canSign(identity: Verifier): identity is Identity {
  return 'signToken' in identity;
}

interface TokenRules {
  tokenMaxS?: number | undefined;
  /** Epoch ms. */
  now?: (() => number) | undefined;
}

/** Tokens with a private ES256 key. */
export async function createLocalIdentity(given: { privateJwk: JWK } & TokenRules): Promise<Identity> {
  const { privateJwk, tokenMaxS = MAX_TOKEN_LIFETIME_S, now = Date.now } = given;
  const { d: _, ...publicJwk } = privateJwk;
  const [signingKey, { verifyToken }] = await Promise.all([
    importJWK(privateJwk, ALGORITHM),
    createVerifier({ ...given, publicJwk }),
  ]);

  async function signToken({ scopes, lifetimeS, subject }: TokenRequest): Promise<SignedToken> {
    if (!(lifetimeS > 0 && lifetimeS <= tokenMaxS)) {
      throw new RangeError(`lifetimeS: must be > 0 and ≤ ${tokenMaxS}, got ${lifetimeS}`);
    }
    const issuedS = Math.floor(now() / 1000);
    const expiresS = issuedS + Math.ceil(lifetimeS);
    const token = await new SignJWT({ scope: scopes.join(' ') })
      .setProtectedHeader({ alg: ALGORITHM, typ: 'at+jwt', kid: privateJwk.kid ?? 'local' })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(subject)
      .setIssuedAt(issuedS)
      .setExpirationTime(expiresS)
      .setJti(randomUUID())
      .sign(signingKey);
    return { token, expiresAt: new Date(expiresS * 1000).toISOString() };
  }

  return { signToken, verifyToken };
}

/** Checks tokens with the public half of an ES256 key. */
export async function createVerifier(given: { publicJwk: JWK } & TokenRules): Promise<Verifier> {
  const { publicJwk, tokenMaxS = MAX_TOKEN_LIFETIME_S, now = Date.now } = given;
  const checkingKey = await importJWK(publicJwk, ALGORITHM);
  const known = new Map<string, { verified: Verified; untilMs: number }>();

  async function verifyToken(token: string): Promise<Verified> {
    const before = known.get(token);
    if (before !== undefined && now() < before.untilMs) return before.verified;
    const { verified, untilMs } = await checkToken(token);
    if (!verified.ok) return verified;
    if (known.size >= MAX_KNOWN_TOKENS) known.clear();
    known.set(token, { verified, untilMs });
    return verified;
  }

  /** `untilMs`: end of its life, epoch ms. */
  async function checkToken(token: string): Promise<{ verified: Verified; untilMs: number }> {
    const refuse = (reason: Extract<Verified, { ok: false }>['reason']) => ({
      verified: { ok: false as const, reason },
      untilMs: 0,
    });
    if (token.length > MAX_TOKEN_CHARS) return refuse('malformed');
    try {
      const { payload } = await jwtVerify(token, checkingKey, {
        algorithms: [ALGORITHM],
        typ: 'at+jwt',
        issuer: ISSUER,
        audience: AUDIENCE,
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: new Date(now()),
        requiredClaims: ['exp', 'iat', 'sub', 'scope'],
      });
      if (payload.exp! - payload.iat! > tokenMaxS + 1) return refuse('lifetime');
      const granted = String(payload['scope']).split(' ');
      const scopes = SCOPES.filter((scope) => granted.includes(scope));
      return { verified: { ok: true, scopes, subject: payload.sub! }, untilMs: payload.exp! * 1000 };
    } catch (error) {
      return refuse(reasonOf(error));
    }
  }

  return { verifyToken };
}

function reasonOf(error: unknown): 'malformed' | 'expired' | 'signature' | 'claims' {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) return 'claims';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JOSEError) return 'malformed';
  throw error;
}
