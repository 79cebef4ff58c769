import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { z } from 'zod';
import {
  ALGORITHM,
  createLocalIdentity,
  createVerifier,
  type Identity,
  type Verifier,
} from './local-tokens.js';

/** In the data directory: a private JWK, readable by its owner only. */
export const KEY_FILE = 'identity-key.json';
const OWNER_ONLY = 0o600;

const publicKeySchema = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string().min(1),
  y: z.string().min(1),
  kid: z.string(),
});
const privateKeySchema = publicKeySchema.extend({ d: z.string().min(1) });

interface NotOpened {
  ok: false;
  reason: 'missing' | 'not-readable' | 'not-writable' | 'open-to-others' | 'not-a-key';
  /** `what: rule, actual` */
  problem: string;
  hint: string;
}
export type OpenedIdentity = { ok: true; identity: Identity; created: boolean } | NotOpened;
export type OpenedKey = { ok: true; identity: Identity | Verifier } | NotOpened;

interface TokenRules {
  tokenMaxS?: number | undefined;
  now?: () => number;
}

/**
 * Opens the key of a data directory. With `create` the first call makes one (and the directory, mode 0700); two
 * processes that do so at once end with the same key. A file that others may read is refused: its tokens are worth
 * nothing.
 */
export async function openLocalIdentity(
  dataDir: string,
  options: { create: boolean } & TokenRules,
): Promise<OpenedIdentity> {
  const file = join(dataDir, KEY_FILE);
  let created = false;
  try {
    created = options.create && (await createKeyFile(dataDir, file));
  } catch (error) {
    return notWritable(dataDir, error as NodeJS.ErrnoException);
  }
  const read = await readKeyFile(file);
  if (!read.ok) return read;
  const identity = await ofCurve(() => identityOf({ ...options, privateJwk: read.jwk }));
  return identity === undefined ? notAKey(file) : { ok: true, identity, created };
}

/**
 * Opens a key that several processes or machines share: the private one, or its public half ({@link publicHalf}), with
 * which nothing can be signed and which need not be secret.
 */
export async function openKeyFile(file: string, rules: TokenRules = {}): Promise<OpenedKey> {
  const read = await readKeyFile(file, { publicToo: true });
  if (!read.ok) return { ...read, hint: SHARED_KEY_HINT };
  const { jwk } = read;
  const identity = await ofCurve<Identity | Verifier>(() =>
    jwk.d === undefined
      ? createVerifier({ ...rules, publicJwk: jwk })
      : identityOf({ ...rules, privateJwk: jwk }),
  );
  return identity === undefined ? { ...notAKey(file), hint: SHARED_KEY_HINT } : { ok: true, identity };
}

const SHARED_KEY_HINT = `copy ${KEY_FILE} of a data directory (mode 0600), or what \`headroom key\` prints of it`;

/** What a key file holds that may be shown to everybody. */
export async function publicHalf(file: string): Promise<{ ok: true; publicJwk: JWK } | NotOpened> {
  const read = await readKeyFile(file, { publicToo: true });
  if (!read.ok) return read;
  const { d: _, ...publicJwk } = read.jwk;
  return { ok: true, publicJwk };
}

/** Undefined when its halves do not belong together: nothing it signs holds. */
async function identityOf(given: Parameters<typeof createLocalIdentity>[0]): Promise<Identity | undefined> {
  const identity = await createLocalIdentity(given);
  const { token } = await identity.signToken({ scopes: [], lifetimeS: 1, subject: 'probe' });
  return (await identity.verifyToken(token)).ok ? identity : undefined;
}

/** Undefined when the numbers are no point of the curve. */
async function ofCurve<T>(open: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await open();
  } catch (error) {
    // What Web Crypto says of a key it does not take.
    if (error instanceof DOMException && error.name === 'DataError') return undefined;
    throw error;
  }
}

function notWritable(dataDir: string, error: NodeJS.ErrnoException): NotOpened {
  if (error.code === undefined) throw error;
  const problem = `data directory ${dataDir}: must be a folder to write in, got ${error.code}`;
  const hint = 'name another one with --data-dir or HEADROOM_DATA_DIR';
  return { ok: false, reason: 'not-writable', problem, hint };
}

/** Returns false when there is a key already. Written aside and linked: nobody ever sees half a key. */
async function createKeyFile(dataDir: string, file: string): Promise<boolean> {
  if (await exists(file)) return false;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  const aside = `${file}.${randomUUID()}`;
  const handle = await open(aside, 'wx', OWNER_ONLY);
  try {
    await handle.writeFile(
      `${JSON.stringify({ ...jwk, alg: ALGORITHM, use: 'sig', kid: await calculateJwkThumbprint(jwk) })}\n`,
    );
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(aside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(aside);
  }
}

async function readKeyFile(
  file: string,
  { publicToo = false } = {},
): Promise<{ ok: true; jwk: JWK } | NotOpened> {
  let text: string;
  let mode: number;
  try {
    mode = (await stat(file)).mode & 0o777;
    text = await readFile(file, 'utf8');
  } catch (error) {
    return unreadable(file, (error as NodeJS.ErrnoException).code);
  }
  const content = parseJson(text);
  const isPublic = publicToo && (content as JWK | undefined)?.d === undefined;
  if (!isPublic && (mode & 0o077) !== 0) return openToOthers(file, mode);
  const parsed = (isPublic ? publicKeySchema : privateKeySchema).safeParse(content);
  return parsed.success ? { ok: true, jwk: parsed.data } : notAKey(file);
}

function openToOthers(file: string, mode: number): NotOpened {
  const problem = `identity key ${file}: mode must be 0600, got 0${mode.toString(8)}`;
  const hint = `chmod 600 ${file}, or delete it to get a new key`;
  return { ok: false, reason: 'open-to-others', problem, hint };
}

function notAKey(file: string): NotOpened {
  const problem = `identity key ${file}: must be a private ES256 key as JWK, got something else`;
  return { ok: false, reason: 'not-a-key', problem, hint: 'delete the file; the next start makes a new key' };
}

function unreadable(file: string, code: string | undefined): NotOpened {
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const problem = `identity key ${file}: must exist, got no such file`;
    const hint =
      'the first `headroom start` makes it; or name the folder with --data-dir or HEADROOM_DATA_DIR';
    return { ok: false, reason: 'missing', problem, hint };
  }
  const problem = `identity key ${file}: must be readable, got ${code}`;
  return { ok: false, reason: 'not-readable', problem, hint: 'run as the user that started Headroom' };
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
