import { fdatasyncSync, fsyncSync, openSync, closeSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';

/** Emscripten's view of an open file: `nfd` is the real descriptor. */
interface OpenFile {
  nfd?: number;
}
interface Emscripten {
  FS: { filesystems: { NODEFS: { stream_ops: { fsync?: (file: OpenFile) => number } } } };
}

/**
 * A PGlite file system whose fsync reaches the disk. As shipped PGlite never syncs: NODEFS has no fsync operation
 * and the server starts with `-F`. Acknowledged writes then survive a killed process but not a power loss.
 * Use together with {@link DURABLE_START_PARAMS}.
 */
export class DurableNodeFS extends NodeFS {
  syncs = 0;

  override async init(...[pg, options]: Parameters<NodeFS['init']>): ReturnType<NodeFS['init']> {
    const { emscriptenOpts } = await super.init(pg, options);
    const installFsync = (module: Emscripten) => {
      module.FS.filesystems.NODEFS.stream_ops.fsync = (file) => {
        if (file.nfd !== undefined) {
          fdatasyncSync(file.nfd);
          this.syncs += 1;
        }
        return 0;
      };
    };
    const preRun = [...((emscriptenOpts.preRun as unknown[]) ?? []), installFsync];
    return { emscriptenOpts: { ...emscriptenOpts, preRun } as typeof emscriptenOpts };
  }
}

/** PGlite's own start parameters with syncing on, and with a cache that suits a small process. */
export const DURABLE_START_PARAMS = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'),
  '-c',
  'fsync=on',
  '-c',
  'wal_sync_method=fsync',
  '-c',
  'shared_buffers=8MB',
];

/** Syncs a whole tree: what initdb writes is not synced by itself. */
export function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncPath(path);
  }
  syncPath(folder);
}

/** Syncs a file, or the names in a folder. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
