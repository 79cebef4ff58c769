import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/** Secrets of one sender: more than one while it changes from one to the next. */
export interface WebhookSecrets {
  /** Whether this is the HMAC-SHA256 of the body: hexadecimal or base64, with or without `sha256=` before it. */
  signed(body: string, signature: string): boolean;
  /** Whether this is one of the secrets itself. */
  include(secret: string): boolean;
}

export type ReadSecrets =
  | { ok: true; secrets: WebhookSecrets }
  /** `problem` is `what: rule, got actual`. */
  | { ok: false; problem: string; hint: string };

const MIN_SECRET_CHARS = 16;
const MAX_SECRETS = 8;
const MAX_FILE_BYTES = 65_536;

/** Reads a file with a secret on each line. */
export async function readWebhookSecrets(file: string): Promise<ReadSecrets> {
  const hint = `openssl rand -hex 32 > ${file}`;
  const refused = (rule: string, actual: string): ReadSecrets => {
    return { ok: false, problem: `secret file ${file}: ${rule}, got ${actual}`, hint };
  };
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) return refused(`must have at most ${MAX_FILE_BYTES} bytes`, String(size));
    const lines = (await readFile(file, 'utf8')).split(/\r?\n/).map((line) => line.trim());
    const secrets = lines.filter((line) => line !== '');
    if (secrets.length === 0 || secrets.length > MAX_SECRETS)
      return refused(`must have 1 to ${MAX_SECRETS} secrets, one a line`, String(secrets.length));
    const shortest = Math.min(...secrets.map((secret) => secret.length));
    if (shortest < MIN_SECRET_CHARS)
      return refused(`each must have at least ${MIN_SECRET_CHARS} characters`, String(shortest));
    return { ok: true, secrets: webhookSecrets(secrets) };
  } catch (error) {
    return refused(
      'must be a readable file',
      (error as NodeJS.ErrnoException).code ?? (error as Error).message,
    );
  }
}

/** Every comparison takes the same time, whatever is right in what was sent. */
export function webhookSecrets(secrets: readonly string[]): WebhookSecrets {
  const digests = secrets.map(digestOf);
  return {
    signed: (body, signature) => {
      const given = signatureBytes(signature);
      if (given === undefined) return false;
      const matches = secrets.map((secret) =>
        timingSafeEqual(createHmac('sha256', secret).update(body).digest(), given),
      );
      return matches.includes(true);
    },
    include: (secret) => {
      const given = digestOf(secret);
      return digests.map((digest) => timingSafeEqual(digest, given)).includes(true);
    },
  };
}

/** 32 bytes, or undefined when it is no SHA-256 at all. */
function signatureBytes(signature: string): Buffer | undefined {
  const text = signature.replace(/^sha256=/, '');
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  return /^[A-Za-z0-9+/]{43}=$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

/** Texts of any length as texts of one. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
