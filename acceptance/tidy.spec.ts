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

test('the environment is read in main.ts only', () => {
  const found = complaints(
    sources.filter(({ path, isTest }) => !isTest && basename(path) !== 'main.ts'),
    ({ text }) =>
      /process\.env/.test(text) ? ['reads process.env; take it as an argument from main.ts'] : [],
  );
  expect(found).toEqual([]);
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
