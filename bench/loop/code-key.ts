import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_DIR } from '../report.js';

/** Of the bench, what may change without a cell's figures changing. */
const NOT_MEASURED =
  /(\.spec|\.contract)\.js$|^bench\/loop\/(main|cells|summary|report|simulate|simulated-headroom)\.js$/;

/** Of everything that runs in a cell: a finished cell is reused only under the same key. */
export function codeKey(): string {
  const dist = join(PROJECT_DIR, 'dist');
  const hash = createHash('sha256');
  for (const folder of ['apps', 'libs', 'handlers', 'bench/loop']) {
    const files = readdirSync(join(dist, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => `${folder}/${file}`)
      .filter((file) => file.endsWith('.js') && !NOT_MEASURED.test(file))
      .sort();
    for (const file of files) hash.update(file).update(readFileSync(join(dist, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
