import type { Condition } from './mapping.js';
import { valueAt, type Roots } from './path.js';
import { textOf } from './template.js';

/** Whether all conditions hold; none always do. */
export function allHold(conditions: readonly Condition[] | undefined, roots: Roots): boolean {
  return conditions === undefined || conditions.every((condition) => holds(condition, roots));
}

function holds({ path, is, not, startsWith, exists }: Condition, roots: Roots): boolean {
  const value = valueAt(path, roots);
  const text = textOf(value);
  const isThere = text !== undefined || (typeof value === 'object' && value !== null);
  if (exists !== undefined && exists !== isThere) return false;
  if (is !== undefined && (text === undefined || !is.includes(text))) return false;
  if (not !== undefined && text !== undefined && not.includes(text)) return false;
  return startsWith === undefined || text?.startsWith(startsWith) === true;
}
