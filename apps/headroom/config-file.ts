import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isScalar, LineCounter, parseDocument, visit, type Document, type YAMLError } from 'yaml';
import { withFiles } from '#adapters/event-log';
import { checkInput, type InputProblem } from '#adapters/input-problems';
import { configSchema, type Config } from './config.js';

export type LoadedConfig = { ok: true; config: Config } | { ok: false; problems: InputProblem[] };

// Aliases can make a small file huge ("billion laughs"); a configuration needs a handful.
const MAX_ALIASES = 100;

/** Reads and checks a configuration file. Relative folders in it are resolved from the file's own folder. */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return { ok: false, problems: [{ where: file, rule: 'must be a readable file', actual }] };
  }
  const parsed = parseConfig(text);
  return parsed.ok ? { ok: true, config: resolveFolders(parsed.config, dirname(resolve(file))) } : parsed;
}

/** Checks the text of a configuration; folders stay as written. An empty text is the default configuration. */
export function parseConfig(text: string): LoadedConfig {
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
  const checked = checkInput(configSchema, tree ?? {});
  return checked.ok ? { ok: true, config: checked.value } : checked;
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

/** Keys that end with File name one, at any depth. */
function resolveFiles<T extends object>(settings: T, folder: string): T {
  const resolved = Object.entries(settings).map(([key, value]: [string, unknown]) => {
    if (typeof value === 'object' && value !== null) return [key, resolveFiles(value, folder)];
    return [key, key.endsWith('File') && typeof value === 'string' ? resolve(folder, value) : value];
  });
  return Object.fromEntries(resolved) as T;
}

function resolveFolders(config: Config, folder: string): Config {
  const pools = Object.entries(config.pools).map(([name, pool]) => {
    const { handlers } = pool.worker;
    if (handlers === undefined) return [name, pool];
    return [name, { ...pool, worker: { ...pool.worker, handlers: resolve(folder, handlers) } }];
  });
  const { eventLog } = config;
  return {
    ...config,
    eventLog: eventLog.kind === 'kafka' ? withFiles(eventLog, (path) => resolve(folder, path)) : eventLog,
    ...(config.dataDir !== undefined && { dataDir: resolve(folder, config.dataDir) }),
    store: resolveFiles(config.store, folder),
    pools: Object.fromEntries(pools) as Config['pools'],
  };
}
