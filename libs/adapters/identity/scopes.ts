/** Everything a token can allow. A closed list: a typing error must not become a scope that nothing checks. */
export const SCOPES = [
  'events:write',
  'dead-letters:read',
  'dead-letters:replay',
  'policies:read',
  'policies:write',
  'pools:read',
  'fleet:read',
  'fleet:scale',
  'backup:read',
  'metrics:read',
  'openapi:read',
] as const;
export type Scope = (typeof SCOPES)[number];

export type ParsedScopes = { ok: true; scopes: Scope[] } | { ok: false; problem: string };

/** Scopes as an operator writes them; `all` stands for every one. Duplicates count once. */
export function parseScopes(words: readonly string[]): ParsedScopes {
  const given = [...new Set(words.filter((word) => word !== ''))];
  const wanted = given.includes('all') ? [...SCOPES, ...given.filter((word) => word !== 'all')] : given;
  const unknown = wanted.find((word) => !isScope(word));
  if (unknown !== undefined || wanted.length === 0) {
    const actual = unknown ?? 'none';
    return { ok: false, problem: `scope: must be one of ${SCOPES.join(', ')} or all, got ${actual}` };
  }
  return { ok: true, scopes: [...new Set(wanted)] as Scope[] };
}

function isScope(word: string): word is Scope {
  return (SCOPES as readonly string[]).includes(word);
}
