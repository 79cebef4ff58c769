// npm run docs: writes the pages that are made from the code. Tests fail when they differ.
import { writeFileSync } from 'node:fs';
import { buildIfNeeded } from './build-if-needed.js';

buildIfNeeded();
const { metricsPage } = await import('../dist/libs/adapters/telemetry/index.js');
const { configJsonSchema } = await import('../dist/apps/headroom/config.js');
writeFileSync('docs/metrics.md', metricsPage());
writeFileSync('docs/config.schema.json', `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
