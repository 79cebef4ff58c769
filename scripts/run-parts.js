// npm run parts: builds what changed, then brings the real servers of the parts suites to this machine.
import { buildIfNeeded } from './build-if-needed.js';

buildIfNeeded();
await import('../dist/parts/main.js');
