import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadConfig } from './config-file.js';
import { openWebhookProofs } from './webhook-proofs.js';

const SECRET = 'a secret of the sender';
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-webhooks-'));
  writeFileSync(join(folder, 'secret'), `${SECRET}\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function opened(webhooks: object) {
  const file = join(folder, 'headroom.yaml');
  writeFileSync(file, JSON.stringify({ webhooks }));
  const loaded = await loadConfig(file);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return openWebhookProofs(loaded.config.webhooks);
}

test('each webhook has its own secret, header and kind of proof', async () => {
  const proofs = await opened({
    bullmq: { secretFile: 'secret' },
    n8n: { secretFile: 'secret', proof: 'secret', header: 'x-n8n' },
  });
  if (!proofs.ok) throw new Error(proofs.problem);
  const of = (mapping: string, headers: Record<string, string>) =>
    proofs.proofOf({ params: { mapping }, headers });
  const signature = createHmac('sha256', SECRET).update('body').digest('hex');
  const signed = of('bullmq', { 'x-headroom-signature': signature });
  expect(signed).toMatchObject({
    outcome: 'signed',
    caller: { subject: 'webhook bullmq', scopes: ['events:write'] },
  });
  expect(signed?.outcome === 'signed' && [signed.holds('body'), signed.holds('other')]).toEqual([
    true,
    false,
  ]);
  expect(of('n8n', { 'x-n8n': SECRET })).toMatchObject({
    outcome: 'passed',
    caller: { subject: 'webhook n8n' },
  });
  expect(of('n8n', { 'x-n8n': signature })).toEqual({ outcome: 'refused' });
  for (const mapping of ['n8n', 'other', 'constructor'])
    expect(of(mapping, { 'x-headroom-signature': signature })).toBeUndefined();
});

test('a secret that cannot be read is named before anything starts', async () => {
  expect(await opened({ n8n: { secretFile: 'none' } })).toMatchObject({
    ok: false,
    problem: `secret file ${join(folder, 'none')}: must be a readable file, got ENOENT`,
  });
});

test('a webhook has the name of a mapping', async () => {
  await expect(opened({ n8m: { secretFile: 'secret' } })).rejects.toThrow(/must hold: the name of a mapping/);
});
