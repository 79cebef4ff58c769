export { SCOPES, parseScopes, type ParsedScopes, type Scope } from './scopes.js';
export {
  canSign,
  createLocalIdentity,
  type Identity,
  type SignedToken,
  type TokenRequest,
  type Verified,
  type Verifier,
} from './local-tokens.js';
export {
  KEY_FILE,
  openKeyFile,
  openLocalIdentity,
  publicHalf,
  type OpenedIdentity,
  type OpenedKey,
} from './key-file.js';
export { signedTokens, tokensOfFile, type TokenSource } from './token-sources.js';
export {
  readWebhookSecrets,
  webhookSecrets,
  type ReadSecrets,
  type WebhookSecrets,
} from './webhook-secrets.js';
