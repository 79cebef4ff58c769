/** Longest name of a pool, which is also a DNS label. */
const MAX_CHARS = 63;

/**
 * A platform's name as the name of a pool: lower case, every run of other characters a dash, none at the ends, at most
 * 63 characters. Undefined: nothing is left of it. Names that differ in such characters only become one pool.
 */
export function poolNameOf(text: string): string | undefined {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_CHARS + 1)
    .replace(/^-/, '')
    .slice(0, MAX_CHARS)
    .replace(/-$/, '');
  return name === '' ? undefined : name;
}
