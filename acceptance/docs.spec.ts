import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';

// What the pages for users say must exist: commands, scripts, linked files.

const root = join(import.meta.dirname, '..', '..');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...pagesBelow('docs')];

function pagesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
}

const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
const found = (pattern: RegExp) =>
  pages.flatMap((page) =>
    [...read(page).matchAll(pattern)].map((match) => ({ page, what: match[1] as string })),
  );

test('every npm script that a page names exists', () => {
  const named = found(/npm run (?:--silent )?([a-z:-]+[a-z])/g);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter(({ what }) => scripts[what] === undefined)).toEqual([]);
});

test('every link to a file leads to one', () => {
  const links = found(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g);
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter(({ page, what }) => !existsSync(join(root, dirname(page), what)))).toEqual([]);
});

test('every headroom command that a page names exists', () => {
  const registered = readdirSync(join(root, 'apps/headroom/commands'))
    .flatMap((file) => [...read(join('apps/headroom/commands', file)).matchAll(/\.command\('([a-z-]+)'\)/g)])
    .map(([, name]) => name);
  const named = found(/npx headroom ([a-z-]+)/g);
  expect(named.length).toBeGreaterThan(3);
  expect(named.filter(({ what }) => !registered.includes(what))).toEqual([]);
});
