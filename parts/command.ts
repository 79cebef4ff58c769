import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** The user a process runs as. */
export interface SystemUser {
  uid: number;
  gid: number;
}

interface Where {
  withinMs: number;
  cwd?: string;
  user?: SystemUser | undefined;
  /** Beside the environment of this process. */
  env?: Record<string, string>;
  /** Gets the output as it comes; otherwise it is kept for the error. */
  say?: (text: string) => void;
}

const OUTPUT_KEPT = 16 * 1024;

/** Runs a command to its end and resolves to what it wrote; rejects with that when it fails or takes too long. */
export async function run(command: readonly string[], where: Where): Promise<string> {
  const [file, ...args] = command as [string, ...string[]];
  const child = spawn(file, args, {
    cwd: where.cwd,
    env: { ...process.env, ...where.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: where.withinMs,
    killSignal: 'SIGKILL',
    ...where.user,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_KEPT);
      where.say?.(text);
    });
  }
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    },
  );
  if (code === 0) return output;
  throw new Error(
    `${file}: must end with 0 within ${where.withinMs} ms, got ${signal ?? code}:\n${where.say === undefined ? output : '(above)'}`,
  );
}

/** The first of these commands that can be run: names are looked up on PATH, then in `folders`. */
export function findCommand(name: string, folders: readonly string[] = []): string | undefined {
  const places = isAbsolute(name) ? [''] : [...(process.env.PATH ?? '').split(delimiter), ...folders];
  return places
    .filter((place) => place !== '' || isAbsolute(name))
    .map((place) => join(place, name))
    .find(canRun);
}

function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whom a server runs as that refuses to be root: this user when we are root, otherwise we (undefined). */
export function unprivileged(name: string): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = ['-u', '-g'].map((what) => spawnSync('id', [what, name], { encoding: 'utf8' }).stdout);
  if (!uid || !gid) throw new Error(`user ${name}: must exist to run its server as root, got nobody`);
  return { uid: Number(uid), gid: Number(gid) };
}
