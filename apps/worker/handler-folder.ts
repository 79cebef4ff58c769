import { readdir } from 'node:fs/promises';
import { extname, isAbsolute, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Handler } from '#sdk';

const MODULE = /^(?!.*\.spec\.m?js$).+\.m?js$/;
const FALLBACK = 'default';

/** The handlers of a pool by task type; `default` serves every type that has none of its own. */
export class Handlers {
  constructor(private readonly byTaskType: ReadonlyMap<string, Handler>) {}

  of(taskType: string): Handler | undefined {
    return this.byTaskType.get(taskType) ?? this.byTaskType.get(FALLBACK);
  }
}

export type LoadedHandlers = { ok: true; handlers: Handlers } | { ok: false; problem: string };

/**
 * Loads every `.js` and `.mjs` file of a folder (not of its subfolders; no `.spec.js`); the file name is the task type.
 * One rule decides where: a folder of this project that `npm run build` compiles is loaded from the compiled folder of
 * the same name below dist/; every other folder is loaded as it is.
 */
export async function loadHandlers(given: { dir: string; projectDir: string }): Promise<LoadedHandlers> {
  for (const dir of [compiledTwin(given), given.dir]) {
    const files = dir === undefined ? [] : await modulesIn(dir);
    if (dir !== undefined && files.length > 0) return importAll(dir, files);
  }
  return { ok: false, problem: `handlers: must be a folder with .js or .mjs modules, got ${given.dir}` };
}

function compiledTwin({ dir, projectDir }: { dir: string; projectDir: string }): string | undefined {
  const below = relative(projectDir, resolve(dir));
  return below.startsWith('..') || isAbsolute(below) ? undefined : join(projectDir, 'dist', below);
}

async function modulesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => !entry.isDirectory() && MODULE.test(entry.name)).map(({ name }) => name);
}

async function importAll(dir: string, files: string[]): Promise<LoadedHandlers> {
  const byTaskType = new Map<string, Handler>();
  for (const file of files) {
    const taskType = file.slice(0, -extname(file).length);
    const loaded = await importHandler(join(dir, file));
    if (typeof loaded === 'string') return { ok: false, problem: `handlers: ${join(dir, file)}: ${loaded}` };
    if (byTaskType.has(taskType)) {
      return {
        ok: false,
        problem: `handlers: ${dir}: must have one module per task type, got two of ${taskType}`,
      };
    }
    byTaskType.set(taskType, loaded);
  }
  return { ok: true, handlers: new Handlers(byTaskType) };
}

/** The handler, or what is wrong with its module. */
async function importHandler(file: string): Promise<Handler | string> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if (typeof module.default === 'function') return module.default as Handler;
    return `must export a function as default, got ${typeof module.default}`;
  } catch (error) {
    return `must be importable, got ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}
