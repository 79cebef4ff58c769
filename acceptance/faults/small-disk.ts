import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DEADLINE_MS, type HeadroomProcess, type Workplace } from '../headroom-process.js';

const CHUNK = Buffer.alloc(64 * 1024);
const ROOT_UID = 0;

/** A tmpfs of its own size on the data directory, in a mount namespace that only what runs in it sees. */
export class SmallDisk {
  private constructor(
    private readonly keeper: HeadroomProcess,
    private readonly mountPoint: string,
  ) {}

  /** Throws when the machine does not allow namespaces, naming what is missing: a suite that cannot break a disk fails. */
  static async mount(work: Workplace, sizeMiB: number): Promise<SmallDisk> {
    const flags = isRoot() ? ['-m'] : ['-Urm'];
    const tried = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
    if (tried.status !== 0) {
      const got = tried.error?.message ?? tried.stderr.trim();
      throw new Error(
        `disk full: \`unshare ${flags.join(' ')} true\` must work (util-linux, and root or unprivileged user namespaces), got ${got}`,
      );
    }
    mkdirSync(work.dataDir, { recursive: true });
    const script = `mount -t tmpfs -o size=${sizeMiB}m tmpfs "$0" && echo mounted && exec sleep 600`;
    const keeper = work.run('unshare', [...flags, 'sh', '-c', script, work.dataDir]);
    await keeper.line(/^mounted$/m);
    return new SmallDisk(keeper, work.dataDir);
  }

  /** Command line that runs a command where the disk is. */
  inside(command: readonly string[]): [string, string[]] {
    const user = isRoot() ? [] : ['-U', '--preserve-credentials'];
    return ['nsenter', ['-t', String(this.keeper.pid), '-m', ...user, ...command]];
  }

  /** The data directory as seen from outside. */
  get path(): string {
    return join('/proc', String(this.keeper.pid), 'root', this.mountPoint);
  }

  /** Writes until nothing is left. */
  fill(): void {
    const file = openSync(join(this.path, 'fill'), 'w');
    try {
      for (const untilMs = Date.now() + DEADLINE_MS; Date.now() < untilMs;) writeSync(file, CHUNK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
      throw error;
    } finally {
      closeSync(file);
    }
    throw new Error(`small disk: must be full within ${DEADLINE_MS} ms`);
  }

  free(): void {
    rmSync(join(this.path, 'fill'));
  }
}

function isRoot(): boolean {
  return process.getuid?.() === ROOT_UID;
}
