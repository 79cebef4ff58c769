// A typing error changes a third of the letters at most; beyond that a suggestion confuses more than it helps.
const MAX_CHANGED_RATIO = 0.4;

/**
 * The valid key that the writer most likely meant, or undefined when none is near. Case is ignored: `bucketS` and
 * `buckets` are the same intention.
 */
export function nearestKey(key: string, validKeys: readonly string[]): string | undefined {
  const ranked = validKeys
    .map((valid) => ({ valid, distance: editDistance(key.toLowerCase(), valid.toLowerCase()) }))
    .filter(({ valid, distance }) => distance <= MAX_CHANGED_RATIO * Math.max(valid.length, key.length))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.valid;
}

/** Levenshtein distance: insertions, deletions and replacements, one row of the table at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
