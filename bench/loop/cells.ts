import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cell, CellResult } from './cell-result.js';
import { PROJECT_DIR } from './setting.js';

/** Two lanes are this far apart, so that the noon of one is the night of the other. */
const STAGGER_MS = 140_000;
const RESULTS = join(PROJECT_DIR, 'bench', 'results', 'loop');

export const nameOf = ({ system, seed }: Cell) => `${system}-${seed}`;

/** A finished cell of this key; undefined: it is still to be run. */
export function finished(cell: Cell, key: string): CellResult | undefined {
  try {
    const result = JSON.parse(readFileSync(join(RESULTS, `${nameOf(cell)}.json`), 'utf8')) as CellResult;
    return result.key === key ? result : undefined;
  } catch {
    return undefined;
  }
}

/** Runs cells one after the other, in so many lanes; `stop` leaves the finished ones. */
export class CellRunner {
  private readonly running = new Set<ChildProcess>();
  private readonly stopping = new AbortController();

  constructor(
    private readonly key: string,
    private readonly note: (line: string) => void,
  ) {
    mkdirSync(RESULTS, { recursive: true });
  }

  async run(cells: Cell[], { lanes, onEnd }: { lanes: number; onEnd: (cell: Cell) => void }): Promise<void> {
    const waiting = [...cells];
    const lane = async (i: number) => {
      await delay(i * STAGGER_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      for (
        let cell = waiting.shift();
        cell !== undefined && !this.stopping.signal.aborted;
        cell = waiting.shift()
      ) {
        const ended = await this.runOne(cell);
        if (ended) onEnd(cell);
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i)));
  }

  stop(): void {
    this.stopping.abort();
    for (const child of this.running) child.kill('SIGTERM');
  }

  /** False: it broke; its log says why. */
  private async runOne(cell: Cell): Promise<boolean> {
    const name = nameOf(cell);
    this.note(`${name}: started`);
    const log = openSync(join(RESULTS, `${name}.log`), 'w');
    const child = fork(
      join(import.meta.dirname, 'cell.js'),
      [JSON.stringify(cell), this.key, join(RESULTS, `${name}.json`)],
      { stdio: ['ignore', log, log, 'ipc'] },
    );
    closeSync(log);
    this.running.add(child);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    child.once('exit', resolve);
    const code = await promise;
    this.running.delete(child);
    if (code !== 0 && !this.stopping.signal.aborted)
      this.note(`${name}: must end with 0, got ${code}; see its log`);
    return code === 0;
  }
}
