import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

// The rules of docs/ARCHITECTURE.md, "The house", read from the sources. Each failure names its remedy.

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const FOLDERS = ['apps', 'libs', 'handlers', 'acceptance', 'bench', 'parts'];

/** Reading order: each may import only those before it. */
const DOMAIN = [
  'slo',
  'events',
  'mapping',
  'demand',
  'forecasting',
  'queueing',
  'scaling',
  'routing',
  'runs',
  'simulation',
];
/** Adapters that build on another adapter. */
const ADAPTER_NEEDS: Record<string, string[]> = {
  'event-sink': ['event-log'],
  'event-log': ['loop'],
  store: ['loop'],
  'http-api': ['input-problems'],
  'demand-reader': ['event-log', 'store'],
  'demand-samplers': ['rabbitmq'],
  'record-sources': ['rabbitmq'],
};
const DECORATED = /\.(module|controller|consumer|resolver|loop|guard|filter|interceptor)\.ts$/;
const DRAWERS = /^(common|shared|core|utils?|helpers?|types|interfaces|constants)(\.ts)?$/;

interface Source {
  path: string;
  text: string;
  imports: string[];
  isTest: boolean;
}

const sources: Source[] = FOLDERS.map((folder) => join(root, folder))
  .filter((folder) => existsSync(folder))
  .flatMap(sourcesIn);

function sourcesIn(folder: string): Source[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const file = join(entry.parentPath, entry.name);
      const text = readFileSync(file, 'utf8');
      const imports = [...text.matchAll(/(?:from|import|import\()\s*'([^']+)'/g)].map(
        ([, name]) => name as string,
      );
      const path = relative(root, file).split(sep).join('/');
      return {
        path,
        text,
        imports,
        isTest: /\.(spec|contract|parts)\.ts$/.test(path) || /^(acceptance|parts)\//.test(path),
      };
    });
}

/** `libs/domain/demand/x.ts` → ['libs', 'domain', 'demand']. */
const home = (path: string) => path.split('/').slice(0, homeDepth(path));
const homeDepth = (path: string) =>
  /^libs\/(domain|adapters)\//.test(path) ? 3 : path.startsWith('parts/') ? 1 : 2;
const inLib =
  (layer: string) =>
  ({ path }: Source) =>
    path.startsWith(`libs/${layer}/`);
const complaints = (among: Source[], complain: (source: Source) => string[]) =>
  among.flatMap((source) => complain(source).map((complaint) => `${source.path}: ${complaint}`));

test('the domain imports only the domain before it, and zod', () => {
  const found = complaints(
    sources.filter(inLib('domain')).filter(({ isTest }) => !isTest),
    ({ path, imports }) => {
      const own = DOMAIN.indexOf(home(path)[2] as string);
      if (own === -1) return [`a domain folder is one of ${DOMAIN.join(', ')} (add it to the reading order)`];
      return imports.flatMap((name) => {
        if (name.startsWith('.') || name === 'zod') return [];
        const before = name.startsWith('#domain/') ? DOMAIN.indexOf(name.slice('#domain/'.length)) : -1;
        if (before !== -1 && before < own) return [];
        return [`imports ${name}; the domain is arithmetic on values: pass what you need as an argument`];
      });
    },
  );
  expect(found).toEqual([]);
});

test('an adapter imports the domain, its vendor, and no other adapter but those it builds on', () => {
  const found = complaints(
    sources.filter(inLib('adapters')).filter(({ isTest }) => !isTest),
    ({ path, imports }) => {
      const own = home(path)[2] as string;
      return imports
        .filter((name) => name.startsWith('#adapters/'))
        .filter((name) => !(ADAPTER_NEEDS[own] ?? []).includes(name.slice('#adapters/'.length)))
        .map((name) => `imports ${name}; let the service pass it in`);
    },
  );
  expect(found).toEqual([]);
});

test('relative imports stay inside their library or service; only the program knows every service', () => {
  const found = complaints(
    sources.filter(({ path }) => !/^(apps\/headroom|acceptance|bench)\//.test(path)),
    ({ path, imports }) =>
      imports
        .filter((name) => name.startsWith('.'))
        .filter((name) => home(join(dirname(path), name)).join('/') !== home(path).join('/'))
        .map(
          (name) =>
            `imports ${name}; services meet in the event log, libraries through #domain/… and #adapters/…`,
        ),
  );
  expect(found).toEqual([]);
});

/** Names of package.json's `imports`, with the sources of what they stand for; the longest first. */
const OWN_NAMES = Object.entries(
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { imports: Record<string, string> })
    .imports,
)
  .map(([name, target]) => [name, target.replace('./dist/', '').replace(/\.js$/, '.ts')] as const)
  .toSorted(([one], [other]) => other.length - one.length);

/** Path of the source that a file imports by this name; undefined: it is a package's. */
function imported(from: string, name: string): string | undefined {
  if (name.startsWith('.')) return join(dirname(from), name.replace(/\.js$/, '.ts'));
  for (const [own, target] of OWN_NAMES) {
    const [before = '', after] = own.split('*');
    if (after === undefined ? name === own : name.startsWith(before))
      return target.replace('*', name.slice(before.length));
  }
  return undefined;
}

/** Packages that are loaded together with the file, by its static imports and those of what it imports. */
function packagesLoadedWith(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  const text = sources.find((source) => source.path === path)?.text;
  if (text === undefined) throw new Error(`a source, got ${path}`);
  const names = [...text.matchAll(/^(?:import|export) (?!type)(?:[^';]* from )?'([^']+)';/gm)];
  const loaded = names
    .map(([, name]) => name as string)
    .filter((name) => !name.startsWith('node:'))
    .flatMap((name) => {
      const own = imported(path, name);
      return own === undefined ? [name] : packagesLoadedWith(own, seen);
    });
  return [...new Set(loaded)].toSorted();
}

test('what is started often loads little', () => {
  const remedy = (path: string) =>
    `${path} loads packages that it does not need: import the file that has what it needs, or import them when needed`;
  // Every worker has it in its memory and in its lead time.
  const worker = 'apps/worker/main.ts';
  expect({ [remedy(worker)]: packagesLoadedWith(worker) }).toEqual({ [remedy(worker)]: [] });
  // Every command.
  for (const [path, packages] of [
    ['apps/headroom/main.ts', ['commander']],
    ['apps/headroom/config-file.ts', ['yaml', 'zod']],
  ] as const)
    expect({ [remedy(path)]: packagesLoadedWith(path) }).toEqual({ [remedy(path)]: packages });
});

test('a program on its own loads no client of a server that it may never have', () => {
  const clients = ['@platformatic/kafka', 'amqplib', 'ioredis', 'kafkajs', 'pg'];
  const loaded = packagesLoadedWith('apps/headroom/run-program.ts');
  expect(loaded).toContain('typeorm'); // it looks where it should
  expect(loaded.filter((name) => clients.includes(name))).toEqual([]); // else: await import where it is used
});

test('the environment is read in main.ts only', () => {
  const found = complaints(
    sources.filter(({ path, isTest }) => !isTest && basename(path) !== 'main.ts'),
    ({ text }) =>
      /process\.env/.test(text) ? ['reads process.env; take it as an argument from main.ts'] : [],
  );
  expect(found).toEqual([]);
  // The launcher hands it on to another Node, with a mark that it reads itself, and nothing else.
  const launcher = readFileSync(join(root, 'apps', 'headroom', 'bin.js'), 'utf8');
  expect([...new Set(launcher.match(/process\.env[.[\w]*/g))].toSorted()).toEqual([
    'process.env',
    'process.env.HEADROOM_REEXECUTED',
  ]);
});

test('in the domain time and chance are arguments', () => {
  const found = complaints(
    sources.filter(inLib('domain')).filter(({ isTest }) => !isTest),
    ({ text }) =>
      [...text.matchAll(/\b(?:Date\.now|performance\.now|Math\.random|new Date\(\))/g)].map(
        ([call]) => `calls ${call}; take it as an argument`,
      ),
  );
  expect(found).toEqual([]);
});

test('each decision has a number of its own', () => {
  const pages = readdirSync(join(root, 'docs', 'decisions'));
  const numbers = pages.map((page) => page.slice(0, 4));
  expect(numbers.filter((number, i) => numbers.indexOf(number) !== i)).toEqual([]);
  const untitled = pages.filter((page) => {
    const text = readFileSync(join(root, 'docs', 'decisions', page), 'utf8');
    return !text.startsWith(`# ${Number(page.slice(0, 4))}. `);
  });
  expect(untitled).toEqual([]); // begin it with its number
});

test('decorators stay in the files whose names say so', () => {
  const found = complaints(
    sources.filter(({ path, isTest }) => !isTest && !DECORATED.test(path)),
    ({ text }) =>
      /^\s*@(Module|Controller|Injectable|Catch|EventPattern|Get|Post|Inject)\b/m.test(text)
        ? [
            'decorates; name the file *.module.ts, *.controller.ts, *.consumer.ts, *.loop.ts, *.guard.ts, *.filter.ts',
          ]
        : [],
  );
  expect(found).toEqual([]);
});

test('no drawer names, no forwardRef, nothing left to do, no mocks of our own modules', () => {
  const found = complaints(sources, ({ path, text }) => {
    if (path === 'acceptance/tidy.spec.ts') return [];
    return [
      ...path
        .split('/')
        .filter((part) => DRAWERS.test(part))
        .map((part) => `${part} says nothing; name it after what is in it`),
      ...(/forwardRef/.test(text) ? ['forwardRef hides a cycle; let the stages meet through a value'] : []),
      ...(/\b(TODO|FIXME|XXX)\b/.test(text) ? ['has something left to do; do it or open an issue'] : []),
      ...(/jest\.mock|\b(test|it|describe)\.(skip|only|todo)\b/.test(text)
        ? ['mocks or skips; test the pure function, or the adapter by contract']
        : []),
    ];
  });
  expect(found).toEqual([]);
});
