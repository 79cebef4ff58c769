import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installedPart, printedVersion } from './installed.js';
import { PartMissing } from './part.js';

// libfaketime: a clock of its own for one process, whose offset can be changed while it runs. The machine's stays.

const OLDEST = '0.9.10';
/** Debian's are in a folder per architecture. */
const FOLDERS = ['/usr/lib', '/usr/local/lib'];
const LIBRARY = join('faketime', 'libfaketimeMT.so.1');
/** A process looks into the file of its offset this often. */
const READ_EVERY_S = 1;

function locate(): string | undefined {
  return FOLDERS.filter((folder) => existsSync(folder))
    .flatMap((folder) => [folder, ...readdirSync(folder).map((name) => join(folder, name))])
    .map((folder) => join(folder, LIBRARY))
    .find((file) => existsSync(file));
}

export const part = installedPart({
  name: 'faketime',
  locate,
  version: () => printedVersion('faketime'),
  oldest: OLDEST,
  packages: ['faketime'],
});

/** The wall clock of a process that is started with `env`, and of those that it starts. */
export interface ProcessClock {
  env: Record<string, string>;
  /** Seconds ahead of the machine's clock, negative: behind. Within a second it is so. */
  set(offsetS: number): void;
}

/** `file` keeps the offset. */
export function processClock(file: string): ProcessClock {
  const library = locate();
  if (library === undefined) throw new PartMissing(`libfaketime ${OLDEST} or newer`);
  const set = (offsetS: number) => {
    const text = `${offsetS < 0 ? '' : '+'}${offsetS}\n`;
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file); // whole, whenever it is read
  };
  set(0);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: String(READ_EVERY_S),
    // Timers go by the monotonic clock, which nobody sets.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  };
  return { env, set };
}

/** Where Linux has shared memory, and how the library names what it keeps there for a process. */
const SHARED_MEMORY = '/dev/shm';
const LEFT_BEHIND = /^(?:sem\.)?faketime_s(?:hm|em)_(\d+)$/;

/** Removes what processes with a clock of their own have left in shared memory because they were killed. */
export function removeSharedMemory(): void {
  for (const name of existsSync(SHARED_MEMORY) ? readdirSync(SHARED_MEMORY) : []) {
    const pid = LEFT_BEHIND.exec(name)?.[1];
    if (pid !== undefined && !existsSync(join('/proc', pid))) rmSync(join(SHARED_MEMORY, name));
  }
}
