import { isScalar, LineCounter, parseDocument, visit, type Document, type YAMLError } from 'yaml';
import type { z } from 'zod';
import { checkInput, type Checked, type InputProblem } from '#adapters/input-problems';

// Aliases can make a small file huge ("billion laughs"); a file that people write needs a handful.
const MAX_ALIASES = 100;

/** Checks the text of a YAML file against a schema. An empty text is an empty map. Never throws. */
export function checkYaml<S extends z.ZodType>(schema: S, text: string): Checked<z.output<S>> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  if (document.errors.length > 0)
    return { ok: false, problems: document.errors.map((e) => yamlProblem(e, lines)) };
  const hidden = prototypeKeys(document, lines);
  if (hidden.length > 0) return { ok: false, problems: hidden };
  let tree: unknown;
  try {
    tree = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    const actual = (error as Error).message;
    return {
      ok: false,
      problems: [{ where: '(root)', rule: `must be YAML with at most ${MAX_ALIASES} aliases`, actual }],
    };
  }
  return checkInput(schema, tree ?? {});
}

/** A map with the key `__proto__` is one that a check does not see and JavaScript does. */
function prototypeKeys(document: Document, lines: LineCounter): InputProblem[] {
  const problems: InputProblem[] = [];
  visit(document, {
    Pair: (_, { key }) => {
      if (!isScalar(key) || key.value !== '__proto__') return;
      const { line, col } = lines.linePos(key.range?.[0] ?? 0);
      const where = `line ${line}, column ${col}`;
      problems.push({ where, rule: 'must be another key', actual: '"__proto__"' });
    },
  });
  return problems;
}

function yamlProblem(error: YAMLError, lines: LineCounter): InputProblem {
  const { line, col } = lines.linePos(error.pos[0]);
  const [what = error.code] = error.message.split(/ at line \d+/);
  return { where: `line ${line}, column ${col}`, rule: 'must be YAML', actual: what };
}
