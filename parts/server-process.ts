import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { SystemUser } from './command.js';
import type { ServerFolder } from './server-folder.js';

export interface ServerSettings {
  /** For messages. */
  name: string;
  folder: ServerFolder;
  command: readonly string[];
  /** Beside the environment of this process. */
  env?: Record<string, string>;
  user?: SystemUser | undefined;
  /** Asks for an orderly stop; SIGTERM unless it says another. */
  stopSignal?: NodeJS.Signals;
  /** Whether it serves now; gets what it has written since it was started. */
  ready: (log: string) => boolean | Promise<boolean>;
  /** What else must go, once it has stopped and before its folder is removed. */
  stopped?: () => Promise<void>;
}

/** Far more than any of them takes: a test machine may be busy. */
const READY_WITHIN_MS = 120_000;
const STOP_WITHIN_MS = 30_000;
const KILLED_WITHIN_MS = 30_000;
const POLL_MS = 25;
const LOG_KEPT = 256 * 1024;

interface Run {
  child: ChildProcess;
  log: string;
  alive: boolean;
  /** When it and all that inherited its output have ended: then ports and files are free. */
  ended: Promise<void>;
}

/** A private server with temporary data; every part's start function resolves to one. */
export class ServerProcess {
  private current: Run | undefined;
  private readonly stopSignal: NodeJS.Signals;

  private constructor(private readonly settings: ServerSettings) {
    this.stopSignal = settings.stopSignal ?? 'SIGTERM';
  }

  /** Resolves when the server is ready; otherwise nothing is left of it, and the error has its log. */
  static async start(settings: ServerSettings): Promise<ServerProcess> {
    const server = new ServerProcess(settings);
    try {
      await server.run();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Throws when it does not run: its number may be somebody else's now. */
  get pid(): number {
    if (!this.current?.alive) throw new Error(`${this.settings.name}: must run to have a pid`);
    return this.current.child.pid as number;
  }

  /** Its temporary folder. */
  get folder(): string {
    return this.settings.folder.path;
  }

  /** The end of what it has written since its last start. */
  get log(): string {
    return this.current?.log ?? '';
  }

  /** Ends it in order, SIGKILL after half a minute, and removes its data. May be called again. */
  async stop(): Promise<void> {
    await this.end(this.stopSignal);
    try {
      await this.settings.stopped?.();
    } finally {
      await this.settings.folder.remove();
    }
  }

  /** SIGKILL to all of it; its data stays for `restart()`. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Starts it again on the same ports and data, after an orderly stop when it runs. Throws after `stop()`. */
  async restart(): Promise<void> {
    if (!existsSync(this.folder))
      throw new Error(`${this.settings.name}: must have its data to start again, got a stopped server`);
    await this.end(this.stopSignal);
    await this.run();
  }

  /** SIGSTOP: connections stay open and nothing answers, until `resume()`. */
  pause(): void {
    signalAll(this.pid, 'SIGSTOP');
  }

  resume(): void {
    signalAll(this.pid, 'SIGCONT');
  }

  private async run(): Promise<void> {
    const run = await this.spawn();
    const deadlineMs = performance.now() + READY_WITHIN_MS;
    while (!(await this.settings.ready(run.log))) {
      if (!run.alive) throw new Error(`${this.settings.name}: must become ready, got its end:\n${run.log}`);
      if (performance.now() > deadlineMs)
        throw new Error(`${this.settings.name}: must be ready within ${READY_WITHIN_MS} ms:\n${run.log}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  private async spawn(): Promise<Run> {
    const { command, env, folder, user } = this.settings;
    const [file, ...args] = command as [string, ...string[]];
    const child = spawn(file, args, {
      cwd: folder.path,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group of its own, for the guard and for SIGKILL to all of it
      ...user,
    });
    if (child.pid !== undefined) folder.watch(child.pid, this.stopSignal);
    await once(child, 'spawn');
    const run: Run = { child, log: '', alive: true, ended: once(child, 'close').then(() => undefined) };
    void run.ended.then(() => {
      run.alive = false;
      folder.unwatch();
    });
    for (const stream of [child.stdout, child.stderr] as Socket[]) {
      stream.setEncoding('utf8').on('data', (text: string) => (run.log = (run.log + text).slice(-LOG_KEPT)));
      stream.unref(); // a suite that forgets stop() still ends, and the guard stops the server
    }
    child.unref();
    this.current = run;
    return run;
  }

  private async end(how: NodeJS.Signals): Promise<void> {
    const run = this.current;
    if (!run?.alive) return;
    const { pid } = this;
    if (how === 'SIGKILL') signalAll(pid, how);
    else {
      signalAll(pid, 'SIGCONT'); // a paused one would not hear it
      signal(pid, how);
    }
    await new Promise<void>((resolve, reject) => {
      const late = new Error(`${this.settings.name}: must end within ${KILLED_WITHIN_MS} ms of SIGKILL`);
      const timers = [
        setTimeout(() => signalAll(pid, 'SIGKILL'), STOP_WITHIN_MS),
        setTimeout(() => reject(late), STOP_WITHIN_MS + KILLED_WITHIN_MS),
      ];
      void run.ended.then(() => {
        timers.forEach(clearTimeout);
        resolve();
      });
    });
  }
}

/**
 * To the process group, and to children that have left it: PostgreSQL's backends have groups of their own, and one
 * that computes does not notice the end of its server.
 */
function signalAll(pid: number, name: NodeJS.Signals): void {
  const children = childrenOf(pid);
  signal(-pid, name);
  for (const child of children) signal(child, name);
}

/** Linux tells; elsewhere none are known. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** To a process, or with a negative number to its group; one that has just ended needs no signal. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
