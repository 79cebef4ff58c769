// npm run build: compiles to dist/ and, meanwhile, makes the database that new data directories begin as a
// copy of, unless only what `npm start` runs is built.
// Arguments go to Nest's build.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { rememberBuild, removeOrphans } from './build-if-needed.js';

async function run(args, stdout) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', stdout, 'inherit'] });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

// Both kinds of build write to dist/: what the other one remembers having written is not there any more.
const isProgram = process.argv.includes('tsconfig.program.json');
removeOrphans();
rmSync(`dist/${isProgram ? 'tsconfig' : 'program'}.tsbuildinfo`, { force: true });

const nest = ['node_modules/@nestjs/cli/bin/nest.js', 'build', 'headroom', ...process.argv.slice(2)];
const codes = await Promise.all([
  run(nest, 'inherit'),
  // A first start makes its own as fast as this one would. What PostgreSQL's initdb prints is for nobody.
  ...(isProgram ? [] : [run(['scripts/make-new-database.js'], 'ignore')]),
]);
const code = Math.max(...codes);
if (code === 0) rememberBuild(isProgram ? 'program' : 'everything');
process.exit(code);
