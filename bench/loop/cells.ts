import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cell, CellResult } from './cell-result.js';
import { PROJECT_DIR } from '../report.js';

/** Two lanes are this far apart, so that the noon of one is the night of the other. */
const STAGGER_MS = 140_000;
const RESULTS = join(PROJECT_DIR, 'bench', 'results', 'loop');

/**
 * The sender shares the machine with whatever else runs on it, and with nothing of the system under test but the CPU: when
 * it is later than this, the figures are the machine's. Such a cell is run again, a few times.
 */
const MAX_SENDER_LATENESS_MS = 10;
export const MAX_ATTEMPTS = 3;
/**
 * A cell begins when an idle process, this one, was woken in time for so long: then whoever needs the CPU gets it. After
 * the wait it begins anyway, and its sender says what it was worth.
 */
const QUIET_LATENESS_MS = 5;
const QUIET_FOR_MS = 10_000;
const QUIET_WITHIN_MS = 1_800_000;
const RESOLUTION_MS = 5;

/** The machine gave the cell the CPU it needed. Says nothing of what the system made of it. */
export function undisturbed({ score }: CellResult): boolean {
  return score.senderLatenessMs.p99 <= MAX_SENDER_LATENESS_MS;
}

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

  async run(
    cells: Cell[],
    { lanes, attempts, onEnd }: { lanes: number; attempts: number; onEnd: (cell: Cell) => void },
  ): Promise<void> {
    const waiting = [...cells];
    const lane = async (i: number) => {
      await delay(i * STAGGER_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      for (
        let cell = waiting.shift();
        cell !== undefined && !this.stopping.signal.aborted;
        cell = waiting.shift()
      ) {
        if (await this.runUntilUndisturbed(cell, attempts)) onEnd(cell);
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i)));
  }

  stop(): void {
    this.stopping.abort();
    for (const child of this.running) child.kill('SIGTERM');
  }

  /** False: it broke, or was stopped. The last attempt counts as finished, disturbed or not: the report tells. */
  private async runUntilUndisturbed(cell: Cell, attempts: number): Promise<boolean> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      await this.untilQuiet();
      if (this.stopping.signal.aborted || !(await this.runOne(cell))) return false;
      const result = finished(cell, this.key);
      if (result !== undefined && undisturbed(result)) return true;
      this.note(`${nameOf(cell)}: disturbed, attempt ${attempt} of ${attempts}`);
    }
    return true;
  }

  private async untilQuiet(): Promise<void> {
    const endMs = performance.now() + QUIET_WITHIN_MS;
    const { signal } = this.stopping;
    const lateness = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    lateness.enable();
    for (let isQuiet = false; !isQuiet && performance.now() < endMs && !signal.aborted; lateness.reset()) {
      await delay(QUIET_FOR_MS, undefined, { signal }).catch(() => undefined);
      const p99Ms = lateness.percentile(99) / 1e6 - RESOLUTION_MS;
      isQuiet = p99Ms <= QUIET_LATENESS_MS;
      if (!isQuiet) this.note(`waiting for a quiet machine: woken ${p99Ms.toFixed(1)} ms late (p99)`);
    }
    lateness.disable();
  }

  /** False: it broke; its log says why. */
  private async runOne(cell: Cell): Promise<boolean> {
    const name = nameOf(cell);
    this.note(`${name}: started`);
    const log = openSync(join(RESULTS, `${name}.log`), 'w');
    const dataDir = mkdtempSync(join(tmpdir(), 'headroom-bench-loop-'));
    const child = fork(
      join(import.meta.dirname, 'cell.js'),
      [JSON.stringify(cell), this.key, join(RESULTS, `${name}.json`), dataDir],
      { stdio: ['ignore', log, log, 'ipc'] },
    );
    closeSync(log);
    this.running.add(child);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    child.once('exit', resolve);
    const code = await promise;
    this.running.delete(child);
    rmSync(dataDir, { recursive: true, force: true });
    if (code !== 0 && !this.stopping.signal.aborted)
      this.note(`${name}: must end with 0, got ${code}; see its log`);
    return code === 0;
  }
}
