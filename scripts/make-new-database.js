// A part of the build: makes the empty database that libs/adapters/store/pglite/make-database.ts copies into a new data
// directory. Making one takes seconds, copying it a fraction of one. It stays until its engine has another version.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const beside = join(root, 'dist', 'libs', 'adapters', 'store', 'pglite');
const folder = join(beside, 'new-database');
const versionFile = `${folder}.version`;
const engine = join(root, 'node_modules', '@electric-sql', 'pglite', 'package.json');
const { version } = JSON.parse(readFileSync(engine, 'utf8'));

if (!isMade()) await make();
// The engine leaves something open.
process.exit(0);

function isMade() {
  return existsSync(folder) && existsSync(versionFile) && readFileSync(versionFile, 'utf8') === version;
}

async function make() {
  const { PGlite } = await import('@electric-sql/pglite');
  mkdirSync(beside, { recursive: true });
  for (const old of [versionFile, folder]) rmSync(old, { recursive: true, force: true });
  const made = mkdtempSync(`${folder}.new-`);
  const db = await PGlite.create(made);
  await db.close();
  putInPlace(made);
  writeFileSync(versionFile, version);
}

/** Another build may have been faster. */
function putInPlace(made) {
  try {
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}
