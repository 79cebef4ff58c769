/** Steps of one path; far more than any platform nests. */
const MAX_STEPS = 16;
export const MAX_PATH_CHARS = 200;

/**
 * Where a value is: `job.id`, `runs[0].name`, `parts[-2]` (from the end), `labels["app.kubernetes.io/name"]`. A path
 * starts at the record, or at the element of it that `each` names; `$.…` starts at the whole record, `@.…` at what the
 * source knows about it (a topic, a key, when it was written).
 */
export interface Path {
  root: 'element' | 'record' | 'about';
  steps: readonly (string | number)[];
  /** As it was written. */
  text: string;
}

/** What paths lead into. */
export interface Roots {
  element: unknown;
  record: unknown;
  about: unknown;
}

const STEP = /\.([^.[\]{}"\s]+)|\[(-?\d{1,9})\]|\["([^"]+)"\]/y;
const ROOTS = { $: 'record', '@': 'about' } as const;

/** Undefined: it is no path. */
export function parsePath(text: string): Path | undefined {
  const root = ROOTS[text[0] as keyof typeof ROOTS];
  const rest = root === undefined ? text : text.slice(1);
  const isBare = root === undefined && !rest.startsWith('[');
  const steps = stepsOf(isBare ? `.${rest}` : rest);
  return steps === undefined ? undefined : { root: root ?? 'element', steps, text };
}

function stepsOf(text: string): (string | number)[] | undefined {
  const steps: (string | number)[] = [];
  for (let at = 0; at < text.length; at = STEP.lastIndex) {
    STEP.lastIndex = at;
    const found = STEP.exec(text);
    if (found === null || steps.length === MAX_STEPS) return undefined;
    const [, name, index, quoted] = found;
    steps.push(index === undefined ? ((name ?? quoted) as string) : Number(index));
  }
  return steps;
}

/** What is there; undefined when nothing is. Only what the sender wrote is found, nothing that JavaScript inherits. */
export function valueAt({ root, steps }: Path, roots: Roots): unknown {
  let value = roots[root];
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined;
    if (Array.isArray(value)) value = typeof step === 'number' ? value.at(step) : undefined;
    else value = Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
  }
  return value;
}
