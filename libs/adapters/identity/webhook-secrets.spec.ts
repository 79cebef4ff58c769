import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readWebhookSecrets, webhookSecrets } from './webhook-secrets.js';

const [OLD, NEW] = ['the old secret of somebody', 'the new secret of somebody'];
const body = '{"name":"Zürich"}';
const hmac = (secret: string, encoding: 'hex' | 'base64') =>
  createHmac('sha256', secret).update(body).digest(encoding);

describe('webhook secrets', () => {
  const secrets = webhookSecrets([OLD, NEW]);

  test('a signature is hexadecimal or base64, named or not, by any of the secrets', () => {
    for (const secret of [OLD, NEW]) {
      const hex = hmac(secret, 'hex');
      for (const signature of [hex, hex.toUpperCase(), `sha256=${hex}`, hmac(secret, 'base64')])
        expect(secrets.signed(body, signature)).toBe(true);
    }
  });

  test('another body, another secret, half a signature and none do not hold', () => {
    expect(secrets.signed(`${body} `, hmac(OLD, 'hex'))).toBe(false);
    expect(secrets.signed(body, hmac('another secret of somebody', 'hex'))).toBe(false);
    for (const signature of ['', 'sha256=', hmac(OLD, 'hex').slice(2), `sha1=${hmac(OLD, 'hex')}`, OLD])
      expect(secrets.signed(body, signature)).toBe(false);
  });

  test('a secret is itself, whole', () => {
    expect([OLD, NEW].map(secrets.include)).toEqual([true, true]);
    expect(['', OLD.slice(1), `${OLD} `, hmac(OLD, 'hex')].map(secrets.include)).toEqual(
      Array(4).fill(false),
    );
  });
});

describe('a file of secrets', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'headroom-secrets-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const read = (content: string) => {
    const file = join(folder, 'secret');
    writeFileSync(file, content);
    return readWebhookSecrets(file);
  };

  test('has one a line; white space around them does not count', async () => {
    const file = await read(`\n  ${OLD}\r\n${NEW}\n\n`);
    expect(file.ok && [OLD, NEW].map(file.secrets.include)).toEqual([true, true]);
  });

  test.each([
    ['nothing', '\n', 'must have 1 to 8 secrets, one a line, got 0'],
    ['too many', `${OLD}\n`.repeat(9), 'must have 1 to 8 secrets, one a line, got 9'],
    ['a short one', 'password', 'each must have at least 16 characters, got 8'],
    ['too much', 'x'.repeat(65_537), 'must have at most 65536 bytes, got 65537'],
  ])('with %s in it is refused, without showing it', async (_name, content, problem) => {
    const file = await read(content);
    expect(file).toMatchObject({ ok: false, problem: expect.stringContaining(problem) });
    expect(JSON.stringify(file)).not.toContain('password');
  });

  test('that is not there is refused with how to make one', async () => {
    expect(await readWebhookSecrets(join(folder, 'none'))).toMatchObject({
      ok: false,
      problem: expect.stringContaining('must be a readable file, got ENOENT'),
      hint: expect.stringContaining('openssl rand'),
    });
  });
});
