export { SCOPES, parseScopes, type ParsedScopes, type Scope } from './scopes.js';
export {
  createLocalIdentity,
  MAX_TOKEN_LIFETIME_S,
  type Identity,
  type SignedToken,
  type TokenRequest,
  type Verified,
} from './local-tokens.js';
export { KEY_FILE, openLocalIdentity, type OpenedIdentity } from './key-file.js';
export {
  readWebhookSecrets,
  webhookSecrets,
  type ReadSecrets,
  type WebhookSecrets,
} from './webhook-secrets.js';
