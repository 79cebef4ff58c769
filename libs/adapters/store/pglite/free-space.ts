import { statfsSync } from 'node:fs';
import type { EngineError } from './engine-messages.js';

const MIB = 1024 * 1024;

/**
 * Free space below which nothing that grows is written. PostgreSQL survives a full disk when a table grows, but panics
 * when its write-ahead log does: four of its segments of 16 MiB are kept free, so that it never meets the end.
 */
export const MIN_FREE_BYTES = 64 * MIB;
/** What makes room (deleting, vacuum, checkpoint) writes a little first: it may use half of that. */
export const RESCUE_FREE_BYTES = 32 * MIB;

/** SQLSTATE `disk_full`. */
export const DISK_FULL = '53100';

const LOOKS = /^\s*(select|show|begin|start|commit|rollback|savepoint|release|set)\b/i;
const MAKES_ROOM = /^\s*(delete|vacuum|checkpoint|truncate|drop)\b/i;

/** Bytes that this user may still write below the folder. */
export function freeBytesIn(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Free space that a statement needs to begin, bytes. */
export function neededBytes(sql: string): number {
  if (LOOKS.test(sql)) return 0;
  return MAKES_ROOM.test(sql) ? RESCUE_FREE_BYTES : MIN_FREE_BYTES;
}

/** What is wrong when there is less; undefined when there is enough. */
export function spaceProblem(freeBytes: number, needed = MIN_FREE_BYTES): EngineError | undefined {
  if (freeBytes >= needed) return undefined;
  const message = `data directory: at least ${Math.ceil(needed / MIB)} MiB free, got ${Math.floor(freeBytes / MIB)} MiB`;
  return { message, code: DISK_FULL };
}

/** Why nothing can be written in a data directory; undefined: it can. */
export function spaceProblemIn(dataDir: string): string | undefined {
  return spaceProblem(freeBytesIn(dataDir))?.message;
}
