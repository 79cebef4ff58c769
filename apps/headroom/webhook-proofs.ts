import { readWebhookSecrets, type WebhookSecrets } from '#adapters/identity';
import type { ProofOf } from '#adapters/http-api';
import type { WebhookConfig } from './config.js';

export type OpenedProofs = { ok: true; proofOf: ProofOf } | { ok: false; problem: string; hint: string };

interface Webhook extends WebhookConfig {
  secrets: WebhookSecrets;
}

/** Reads the secrets of all webhooks; what a request brings is then checked by those of the mapping it names. */
export async function openWebhookProofs(webhooks: Record<string, WebhookConfig>): Promise<OpenedProofs> {
  const opened = new Map<string, Webhook>();
  for (const [mapping, webhook] of Object.entries(webhooks)) {
    const read = await readWebhookSecrets(webhook.secretFile);
    if (!read.ok) return read;
    opened.set(mapping, { ...webhook, secrets: read.secrets });
  }
  return { ok: true, proofOf: proofsBy(opened) };
}

function proofsBy(webhooks: ReadonlyMap<string, Webhook>): ProofOf {
  return ({ params, headers }) => {
    const webhook = webhooks.get(params['mapping'] ?? '');
    const given = webhook && headers[webhook.header];
    if (webhook === undefined || typeof given !== 'string') return undefined;
    const caller = { subject: `webhook ${params['mapping']}`, scopes: ['events:write'] };
    const { proof, secrets } = webhook;
    if (proof === 'signature')
      return { outcome: 'signed', caller, holds: (body) => secrets.signed(body, given) };
    return secrets.include(given) ? { outcome: 'passed', caller } : { outcome: 'refused' };
  };
}
