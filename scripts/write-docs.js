// npm run docs: writes the pages that are made from the code. Tests fail when they differ.
import { writeFileSync } from 'node:fs';
import { buildIfNeeded } from './build-if-needed.js';

buildIfNeeded();
const { metricsPage } = await import('../dist/libs/adapters/telemetry/index.js');
const { configJsonSchema } = await import('../dist/apps/headroom/config.js');
const { mappingJsonSchema } = await import('../dist/apps/headroom/mappings/mapping-config.js');
writeFileSync('docs/metrics.md', metricsPage());
writeJson('docs/config.schema.json', configJsonSchema());
writeJson('docs/mapping.schema.json', mappingJsonSchema());

function writeJson(file, value) {
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);
}
