import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { familyOf, isAlive, type ProcessFigures } from './processes.js';

const READY_LINE = /^headroom: ready/m;
const WORKER_LINE = /"worker ready"/g;
const READY_WITHIN_MS = 60_000;
const POLL_MS = 20;
/** Processes are given this long to be gone after the first one has ended. */
const GONE_WITHIN_MS = 5_000;

/** `npm start` in a process group of its own, as a terminal starts it. */
export class Started {
  private output = '';
  private readonly child: ChildProcess;
  private readonly startedMs = performance.now();

  constructor(given: { folder: string; env: NodeJS.ProcessEnv }) {
    this.child = spawn('npm', ['start'], {
      cwd: given.folder,
      env: given.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  /** Milliseconds from the command to the line that says so. */
  async ready(): Promise<number> {
    return this.until(() => READY_LINE.test(this.output), 'must say that it is ready');
  }

  /** Milliseconds from the command to that many ready workers. */
  async workersReady(workers: number): Promise<number> {
    return this.until(
      () => (this.output.match(WORKER_LINE) ?? []).length >= workers,
      `must have ${workers} workers`,
    );
  }

  /** npm, the launcher, the program and its workers. */
  processes(): { program: ProcessFigures; workers: ProcessFigures[]; launchers: ProcessFigures[] } {
    const family = familyOf(this.child.pid as number);
    const workers = family.filter(({ command }) => command.startsWith('headroom worker '));
    const program = family.find(({ pid }) => workers.some(({ parent }) => parent === pid));
    if (program === undefined)
      throw new Error(`bench:start: workers must have a parent, got none\n${this.output}`);
    const launchers = family.filter((member) => member !== program && !workers.includes(member));
    return { program, workers, launchers };
  }

  /** Ctrl-C: to the whole group. Milliseconds until it has ended; throws when a process is left. */
  async stop(): Promise<number> {
    const family = familyOf(this.child.pid as number);
    const ended = once(this.child, 'exit');
    const askedMs = performance.now();
    process.kill(-(this.child.pid as number), 'SIGINT');
    await ended;
    const left = () => family.filter(({ pid }) => isAlive(pid));
    while (left().length > 0 && performance.now() - askedMs < GONE_WITHIN_MS) await delay(POLL_MS);
    const stoppedMs = performance.now() - askedMs;
    if (left().length > 0)
      throw new Error(`bench:start: nothing may be left running, got ${left()[0]?.command}`);
    return stoppedMs;
  }

  /** What a failed run has left. */
  kill(): void {
    if (!this.hasEnded()) process.kill(-(this.child.pid as number), 'SIGKILL');
  }

  private hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private async until(isSo: () => boolean, rule: string): Promise<number> {
    while (!isSo()) {
      const waitedMs = performance.now() - this.startedMs;
      if (waitedMs > READY_WITHIN_MS || this.hasEnded())
        throw new Error(`bench:start: ${rule} within ${READY_WITHIN_MS} ms, got\n${this.output}`);
      await delay(POLL_MS);
    }
    return performance.now() - this.startedMs;
  }
}
