import { chmod, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  UnsecuredJWT,
  type JWK,
  type JWTPayload,
} from 'jose';
import {
  canSign,
  createLocalIdentity,
  KEY_FILE,
  openKeyFile,
  openLocalIdentity,
  parseScopes,
  publicHalf,
  SCOPES,
  signedTokens,
  tokensOfFile,
  type Identity,
  type Verifier,
} from './index.js';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'headroom-identity-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

async function opened(options: Partial<Parameters<typeof openLocalIdentity>[1]> = {}): Promise<Identity> {
  const result = await openLocalIdentity(dataDir, { create: true, ...options });
  if (!result.ok) throw new Error(result.problem);
  return result.identity;
}

describe('the key file', () => {
  test('the first start makes one, for its owner only; the second uses it', async () => {
    expect(await openLocalIdentity(join(dataDir, 'new'), { create: true })).toMatchObject({
      ok: true,
      created: true,
    });
    expect(await openLocalIdentity(join(dataDir, 'new'), { create: true })).toMatchObject({
      ok: true,
      created: false,
    });
    expect((await stat(join(dataDir, 'new', KEY_FILE))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dataDir, 'new'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(dataDir, 'new'))).toEqual([KEY_FILE]);
  });

  test('ten first starts at once end with one key', async () => {
    const identities = await Promise.all(Array.from({ length: 10 }, () => opened()));
    const { token } = await identities[0]!.signToken({ scopes: ['pools:read'], lifetimeS: 60, subject: 'a' });
    const verified = await Promise.all(identities.map((identity) => identity.verifyToken(token)));
    expect(verified.every(({ ok }) => ok)).toBe(true);
    expect(await readdir(dataDir)).toEqual([KEY_FILE]);
  });

  test('without create a missing key is said, and none is made', async () => {
    expect(await openLocalIdentity(dataDir, { create: false })).toMatchObject({
      ok: false,
      reason: 'missing',
    });
    expect(await readdir(dataDir)).toEqual([]);
  });

  test('a key that others may read is refused with the remedy', async () => {
    await opened();
    await chmod(join(dataDir, KEY_FILE), 0o644);
    expect(await openLocalIdentity(dataDir, { create: true })).toMatchObject({
      ok: false,
      reason: 'open-to-others',
      problem: `identity key ${join(dataDir, KEY_FILE)}: mode must be 0600, got 0644`,
      hint: expect.stringContaining('chmod 600'),
    });
  });

  test.each(['', '{"kty":"EC"}', 'null'])('content %j is refused, not overwritten', async (content) => {
    await writeFile(join(dataDir, KEY_FILE), content, { mode: 0o600 });
    expect(await openLocalIdentity(dataDir, { create: true })).toMatchObject({
      ok: false,
      reason: 'not-a-key',
    });
    expect(await readFile(join(dataDir, KEY_FILE), 'utf8')).toBe(content);
  });

  test('a folder in place of the file cannot be read', async () => {
    const { mkdir } = await import('node:fs/promises');
    await mkdir(join(dataDir, KEY_FILE), { mode: 0o700 });
    expect(await openLocalIdentity(dataDir, { create: true })).toMatchObject({
      ok: false,
      reason: 'not-readable',
    });
  });

  test('numbers that are no point of the curve, or halves of two keys, are no key', async () => {
    await opened();
    const file = join(dataDir, KEY_FILE);
    const jwk = JSON.parse(await readFile(file, 'utf8')) as JWK;
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const { x, y } = await exportJWK(privateKey);
    for (const wrong of [{ x: jwk.y, y: jwk.x }, { x: 'AA' }, { d: '' }, { x, y }]) {
      await writeFile(file, JSON.stringify({ ...jwk, ...wrong }));
      expect(await openLocalIdentity(dataDir, { create: true })).toMatchObject({
        ok: false,
        reason: 'not-a-key',
      });
    }
  });

  test.each(['file', 'file/below'])('a data directory at %s is refused', async (path) => {
    await writeFile(join(dataDir, 'file'), '');
    const folder = join(dataDir, path);
    expect(await openLocalIdentity(folder, { create: true })).toMatchObject({
      ok: false,
      reason: 'not-writable',
      problem: `data directory ${folder}: must be a folder to write in, got ENOTDIR`,
    });
  });
});

describe('a key that is shared', () => {
  const shared = () => join(dataDir, 'shared.json');
  async function openedKey(file = shared()): Promise<Identity | Verifier> {
    const result = await openKeyFile(file);
    if (!result.ok) throw new Error(result.problem);
    return result.identity;
  }
  const token = async (identity: Identity) =>
    (await identity.signToken({ scopes: ['pools:read'], lifetimeS: 60, subject: 'a' })).token;

  test('signs and checks as the data directory it came from', async () => {
    const own = await opened();
    await copyFile(join(dataDir, KEY_FILE), shared());
    const other = await openedKey();
    if (!canSign(other)) throw new Error('must sign');
    expect(await own.verifyToken(await token(other))).toMatchObject({ ok: true });
    expect(await other.verifyToken(await token(own))).toMatchObject({ ok: true });
  });

  test('its public half checks and signs nothing; anybody may read it', async () => {
    const own = await opened();
    const half = await publicHalf(join(dataDir, KEY_FILE));
    if (!half.ok) throw new Error(half.problem);
    expect(half.publicJwk).not.toHaveProperty('d');
    await writeFile(shared(), JSON.stringify(half.publicJwk), { mode: 0o644 });
    const other = await openedKey();
    expect(canSign(other)).toBe(false);
    expect(await other.verifyToken(await token(own))).toMatchObject({ ok: true });
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const stranger = await createLocalIdentity({ privateJwk: await exportJWK(privateKey) });
    expect(await other.verifyToken(await token(stranger))).toEqual({ ok: false, reason: 'signature' });
  });

  test('a private one that others may read, numbers that are no key, and no file are refused', async () => {
    await opened();
    expect(await openKeyFile(shared())).toMatchObject({ ok: false, reason: 'missing' });
    await copyFile(join(dataDir, KEY_FILE), shared());
    await chmod(shared(), 0o640);
    expect(await openKeyFile(shared())).toMatchObject({ ok: false, reason: 'open-to-others' });
    const { d: _, ...half } = JSON.parse(await readFile(shared(), 'utf8')) as JWK;
    for (const wrong of [{ ...half, x: half.y }, { ...half, kty: 'RSA' }, 7]) {
      await writeFile(shared(), JSON.stringify(wrong));
      expect(await openKeyFile(shared())).toMatchObject({ ok: false, reason: 'not-a-key' });
    }
  });
});

describe('tokens of calls', () => {
  let nowMs = 0;

  test('one that is signed here is used for half of its life', async () => {
    const tokens = signedTokens(
      await opened({ now: () => nowMs }),
      { scopes: ['fleet:read'], lifetimeS: 60, subject: 'router' },
      () => nowMs,
    );
    const first = await tokens();
    nowMs += 29_999;
    expect(await tokens()).toBe(first);
    nowMs += 1;
    const second = await tokens();
    expect(second).not.toBe(first);
    nowMs -= 60_000; // set back
    expect(await tokens()).not.toBe(second);
  });

  test('one of a file is read again; while it cannot be read it says so', async () => {
    const file = join(dataDir, 'token');
    const tokens = tokensOfFile(file, () => nowMs);
    await expect(tokens()).rejects.toThrow(`token file ${file}: must be readable, got ENOENT`);
    await writeFile(file, 'one\n');
    expect(await tokens()).toBe('one');
    await writeFile(file, 'two\n');
    expect(await tokens()).toBe('one');
    nowMs += 30_000;
    expect(await tokens()).toBe('two');
  });
});

describe('tokens, by the clock', () => {
  const startMs = Date.UTC(2026, 0, 1);
  let nowMs = startMs;
  beforeEach(() => {
    nowMs = startMs;
  });

  test('valid until its end plus the tolerance of 5 s', async () => {
    const identity = await opened({ now: () => nowMs });
    const signed = await identity.signToken({
      scopes: ['pools:read', 'events:write'],
      lifetimeS: 60,
      subject: 'ada',
    });
    expect(signed.expiresAt).toBe('2026-01-01T00:01:00.000Z');
    nowMs = startMs + 64_000;
    expect(await identity.verifyToken(signed.token)).toEqual({
      ok: true,
      scopes: ['events:write', 'pools:read'],
      subject: 'ada',
    });
    nowMs = startMs + 66_000;
    expect(await identity.verifyToken(signed.token)).toEqual({ ok: false, reason: 'expired' });
  });

  test.each([0, -1, Number.NaN, 86_401])('a lifetime of %d s is not signed', async (lifetimeS) => {
    const identity = await opened();
    await expect(identity.signToken({ scopes: [], lifetimeS, subject: 'a' })).rejects.toThrow(RangeError);
  });

  test('a token that lives longer than the configured maximum is not accepted', async () => {
    const generous = await opened({ now: () => nowMs });
    const strict = await opened({ now: () => nowMs, tokenMaxS: 60 });
    const { token } = await generous.signToken({ scopes: ['pools:read'], lifetimeS: 3600, subject: 'a' });
    expect(await strict.verifyToken(token)).toEqual({ ok: false, reason: 'lifetime' });
  });
});

describe('poison', () => {
  async function privateJwk(): Promise<JWK> {
    await opened();
    return JSON.parse(await readFile(join(dataDir, KEY_FILE), 'utf8')) as JWK;
  }
  const claims: JWTPayload = { iss: 'headroom', aud: 'headroom-api', sub: 'a', scope: 'pools:read' };
  async function forged(change: JWTPayload, header: { typ?: string } = { typ: 'at+jwt' }): Promise<string> {
    const key = await importJWK(await privateJwk(), 'ES256');
    const nowS = Math.floor(Date.now() / 1000);
    return new SignJWT({ ...claims, iat: nowS, exp: nowS + 60, ...change })
      .setProtectedHeader({ alg: 'ES256', ...header })
      .sign(key);
  }

  test('the forger’s baseline is accepted, so that what follows tests the change', async () => {
    const token = await forged({});
    expect(await (await opened()).verifyToken(token)).toMatchObject({ ok: true });
  });

  test.each([
    ['another issuer', { iss: 'other' }],
    ['another audience', { aud: 'other' }],
    ['no subject', { sub: undefined }],
    ['no end', { exp: undefined }],
    ['no scope', { scope: undefined }],
    ['not yet valid', { nbf: 4_000_000_000 }],
  ])('%s: claims', async (_, change) => {
    const token = await forged(change as JWTPayload);
    expect(await (await opened()).verifyToken(token)).toEqual({ ok: false, reason: 'claims' });
  });

  test('an id token of the same key is not an access token', async () => {
    const token = await forged({}, {});
    expect(await (await opened()).verifyToken(token)).toEqual({ ok: false, reason: 'claims' });
  });

  test('scopes that do not exist are dropped', async () => {
    const token = await forged({ scope: 'admin pools:read' });
    expect(await (await opened()).verifyToken(token)).toMatchObject({ ok: true, scopes: ['pools:read'] });
  });

  test('another key', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const other = await createLocalIdentity({ privateJwk: await exportJWK(privateKey) });
    const { token } = await other.signToken({ scopes: ['pools:read'], lifetimeS: 60, subject: 'a' });
    expect(await (await opened()).verifyToken(token)).toEqual({ ok: false, reason: 'signature' });
  });

  test('no signature, or HMAC with the public key as secret', async () => {
    const identity = await opened();
    const unsigned = new UnsecuredJWT(claims).setExpirationTime('1m').setIssuedAt().encode();
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(new TextEncoder().encode(JSON.stringify((await privateJwk()).x)));
    expect(await identity.verifyToken(unsigned)).toEqual({ ok: false, reason: 'malformed' });
    expect(await identity.verifyToken(hmac)).toEqual({ ok: false, reason: 'malformed' });
  });

  test.each(['', 'a.b.c', '…', 'x'.repeat(5000)])('not a token: %.10s', async (token) => {
    expect(await (await opened()).verifyToken(token)).toEqual({ ok: false, reason: 'malformed' });
  });
});

describe('parseScopes', () => {
  test('duplicates count once, all is every one', () => {
    expect(parseScopes(['pools:read', 'pools:read', ''])).toEqual({ ok: true, scopes: ['pools:read'] });
    expect(parseScopes(['all'])).toEqual({ ok: true, scopes: [...SCOPES] });
  });

  test.each([[['pool:read']], [['all', 'x']], [[]]])('%j is refused with the list', (words) => {
    expect(parseScopes(words)).toMatchObject({ ok: false, problem: expect.stringContaining('events:write') });
  });
});
