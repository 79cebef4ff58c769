import { z } from 'zod';
import { cutBelow, isDeeperThan } from './depth.js';
import { nearestKey } from './nearest-key.js';

/** One thing wrong with an input. As text: `where: rule, got actual`. */
export interface InputProblem {
  /** Path in the input, e.g. `pools.web.bucketS` or `events[3].data.pool`; `(root)` for the whole. */
  where: string;
  /** What must hold. */
  rule: string;
  /** What was found, as JSON, at most {@link MAX_ACTUAL_CHARS} characters; `nothing` when missing. */
  actual: string;
}

export type Checked<T> = { ok: true; value: T } | { ok: false; problems: InputProblem[] };

/** An input can be wrong in a million places; a reader uses the first few. */
const MAX_PROBLEMS = 50;
const MAX_ACTUAL_CHARS = 80;
/** JSON.stringify calls itself for every level and runs out of stack after some thousands. */
const MAX_ACTUAL_LEVELS = 100;

/** Checks a value against a schema; every problem names the place, the rule and what was found. Never throws. */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown): Checked<z.output<S>> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, schema, value));
  return { ok: false, problems: problems.slice(0, MAX_PROBLEMS) };
}

export function formatProblem({ where, rule, actual }: InputProblem): string {
  return `${where}: ${rule}, got ${actual}`;
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, schema: z.ZodType, value: unknown): InputProblem[] {
  if (issue.code === 'unrecognized_keys') return unknownKeys(issue.keys, issue.path, schema);
  const meant = issue.code === 'invalid_union' ? meantAlternative(issue) : [];
  if (meant.length > 0) return meant.flatMap((inner) => problemsOf(inner, schema, value));
  return [
    { where: pathText(issue.path), rule: ruleOf(issue), actual: actualText(valueAt(value, issue.path)) },
  ];
}

/** Of several allowed forms the one that the writer most likely meant: whose problem lies deepest. None: no form fits. */
function meantAlternative({ errors, path }: z.core.$ZodIssueInvalidUnion): Issue[] {
  const [meant = []] = errors.toSorted((a, b) => depthOf(b[0]) - depthOf(a[0]));
  if (depthOf(meant[0]) === 0) return [];
  return meant.map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
}

function depthOf(issue: Issue | undefined): number {
  if (issue === undefined || (issue.code === 'invalid_type' && issue.path.length === 0)) return 0;
  if (issue.code !== 'invalid_union') return 1 + issue.path.length;
  return issue.path.length + Math.max(0, ...issue.errors.map(([first]) => depthOf(first)));
}

function unknownKeys(keys: string[], path: PropertyKey[], schema: z.ZodType): InputProblem[] {
  const valid = keysAt(schema, path);
  return keys.map((key) => {
    const nearest = nearestKey(key, valid);
    const hint = nearest === undefined ? `valid keys are ${valid.join(', ')}` : `did you mean ${nearest}?`;
    return {
      where: pathText([...path, key]),
      rule: `must be a known key (${hint})`,
      actual: JSON.stringify(key),
    };
  });
}

function ruleOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${article(issue.expected)}`;
    case 'invalid_value':
      return `must be ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}`;
    case 'too_small':
      return `must be ${sizeRule(issue.inclusive === false ? '>' : '≥', issue.minimum, issue.origin)}`;
    case 'too_big':
      return `must be ${sizeRule(issue.inclusive === false ? '<' : '≤', issue.maximum, issue.origin)}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_key':
      return `key must be valid: ${issue.issues[0]?.message ?? issue.message}`;
    default:
      return `must hold: ${issue.message}`;
  }
}

function sizeRule(sign: string, bound: number | bigint, origin: string): string {
  if (origin === 'string') return `${sign} ${bound} characters`;
  if (origin === 'array' || origin === 'set') return `${sign} ${bound} items`;
  if (origin === 'object' || origin === 'map') return `${sign} ${bound} keys`;
  return `${sign} ${bound}`;
}

function article(expected: string): string {
  if (expected === 'int') return 'an integer';
  return `${/^[aeiou]/.test(expected) ? 'an' : 'a'} ${expected === 'record' ? 'map' : expected}`;
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '(root)';
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i > 0 ? '.' : ''}${String(step)}`))
    .join('');
}

function actualText(value: unknown): string {
  if (value === undefined) return 'nothing';
  // JSON has no NaN and no Infinity; the writer of `.nan` wants to see it.
  const shown = isDeeperThan(value, MAX_ACTUAL_LEVELS) ? cutBelow(value, MAX_ACTUAL_LEVELS) : value;
  const text = withoutPasswords(
    typeof shown === 'number' ? String(shown) : (JSON.stringify(shown) ?? String(shown)),
  );
  return text.length <= MAX_ACTUAL_CHARS ? text : `${text.slice(0, MAX_ACTUAL_CHARS - 1)}…`;
}

/** Problems are printed and logged, and a url may have a password although none is wanted there. */
function withoutPasswords(text: string): string {
  return text.replaceAll(/(:\/\/[^\s"/:@]*:)[^\s"]*@/g, '$1***@');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, step) =>
      typeof inner === 'object' && inner !== null && Object.hasOwn(inner, step)
        ? (inner as Record<PropertyKey, unknown>)[step]
        : undefined,
    value,
  );
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  additionalProperties?: SchemaNode | boolean;
  items?: SchemaNode;
  anyOf?: SchemaNode[];
}

/** Valid keys of the object at a path, read from the schema's JSON Schema, the only documented way to walk it. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
  const nodes = path.reduce((above, step) => above.flatMap((node) => nodesBelow(node, step)), formsOf(root));
  return [...new Set(nodes.flatMap(({ properties = {} }) => Object.keys(properties)))];
}

function nodesBelow(
  { properties, additionalProperties: rest, items }: SchemaNode,
  step: PropertyKey,
): SchemaNode[] {
  const node = typeof step === 'number' ? items : (properties?.[String(step)] ?? rest);
  return typeof node === 'object' ? formsOf(node) : [];
}

function formsOf(node: SchemaNode): SchemaNode[] {
  return [node, ...(node.anyOf ?? []).flatMap(formsOf)];
}
