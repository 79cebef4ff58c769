import { type Part, PartRefused, ToolMissing } from './part.js';
import { parts } from './every-part.js';

// npm run parts [-- NAME…]: every part is on this machine afterwards, or it is said why not. Exit codes as in
// docs/ARCHITECTURE.md: 1 what came is not what it must be, 2 nothing here can obtain it, 3 its source is unreachable.

const write = (line: string): void => void process.stdout.write(`parts: ${line}\n`);
const progress = (text: string): void => void process.stderr.write(text);

const names = process.argv.slice(2);
const unknown = names.filter((name) => !parts.some((part) => part.name === name));
if (unknown.length > 0) {
  write(`must be ${parts.map(({ name }) => name).join(', ')}, got ${unknown.join(', ')}`);
  process.exitCode = 2;
} else {
  await obtainAll(parts.filter(({ name }) => names.length === 0 || names.includes(name)));
}

async function obtainAll(wanted: readonly Part[]): Promise<void> {
  const found = await Promise.allSettled(wanted.map((part) => part.find()));
  for (const [i, part] of wanted.entries()) {
    const here = found[i] as PromiseSettledResult<string | undefined>;
    try {
      if (here.status === 'rejected') throw here.reason;
      write(here.value ?? (await obtain(part)));
    } catch (error) {
      write(`${part.name}: not obtained: ${(error as Error).message}`);
      process.exitCode ??= exitCode(error);
    }
  }
}

async function obtain(part: Part): Promise<string> {
  write(`${part.name}: obtaining …`);
  const startMs = performance.now();
  await part.obtain(progress);
  const found = await part.find();
  if (found === undefined) throw new PartRefused('must be found once it was obtained, got nothing');
  return `${found}, obtained in ${((performance.now() - startMs) / 1000).toFixed(0)} s`;
}

function exitCode(error: unknown): number {
  if (error instanceof ToolMissing) return 2;
  return error instanceof PartRefused ? 1 : 3;
}
