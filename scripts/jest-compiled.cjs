// A "transform" that changes nothing: it only hands Jest the source map that tsc wrote, so that coverage
// and stack traces name the TypeScript lines.
const { existsSync, readFileSync } = require('node:fs');

module.exports = {
  process(code, path) {
    const map = `${path}.map`;
    return { code, map: existsSync(map) ? JSON.parse(readFileSync(map, 'utf8')) : null };
  },
};
