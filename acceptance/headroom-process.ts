import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The program as a user runs it: a child process in a process group of its own, as a terminal starts it.

export const projectDir = join(import.meta.dirname, '..', '..');
export const bin = join(projectDir, 'apps', 'headroom', 'bin.js');
export const DEMO_HANDLERS = join(projectDir, 'handlers', 'demo');

/** Longest wait for anything that must happen: far more than it takes, because a test machine may be busy. */
export const DEADLINE_MS = 30_000;
const POLL_MS = 25;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One command and everything it started. */
export class HeadroomProcess {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;
  private end: Ended | undefined;

  constructor(command: string, args: readonly string[], options: { cwd?: string } = {}) {
    this.child = spawn(command, args, {
      cwd: options.cwd ?? projectDir,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => resolve((this.end = { code, signal })));
    });
    this.ended.catch(() => undefined); // whoever waits for it is told
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** What it has said so far, for the message of a failed wait. */
  get output(): string {
    return `${this.stdout}${this.stderr}`;
  }

  /** To the program alone. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** To all of its process group, as Ctrl-C in a terminal does. */
  killGroup(signal: NodeJS.Signals): void {
    if (this.members().length > 0) process.kill(-this.pid, signal);
  }

  /** Processes of its group that still run, itself included. */
  members(): number[] {
    return processesOfGroup(this.pid);
  }

  /** Waits for a line of output; rejects with all of it when the process ends first. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    return eventually(`output ${pattern}`, () => {
      const found = pattern.exec(this.output);
      if (found === null && this.end !== undefined)
        throw new Error(`ended with ${JSON.stringify(this.end)} before ${pattern}:\n${this.output}`);
      return found ?? undefined;
    });
  }

  /** Resolves when no process of its group is left. */
  async gone(): Promise<void> {
    await eventually(`end of process group ${this.pid}`, () => this.members().length === 0 || undefined);
  }
}

/** Linux' /proc: `pid (name) state ppid pgrp …`. Who has ended and waits to be reaped does not count. */
function processesOfGroup(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const [state, , pgrp] = statOf(pid);
      return Number(pgrp) === group && state !== 'Z' && state !== 'X';
    })
    .map(Number);
}

function statOf(pid: string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // it has just ended
  }
}

/** Asks until the answer is defined; rejects after `withinMs`, naming what was waited for. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  withinMs = DEADLINE_MS,
): Promise<T> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadlineMs) throw new Error(`${what}: must happen within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * Below those that systems give to connections and to whoever asks for any port: what is free stays free until its
 * program has started, and after it was killed.
 */
const PORTS = { from: 20_000, to: 32_000 };
/** Suites that run at the same time have different ones. */
const WORKERS = 16;

/** Ports that nobody listens on, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const worker = Number(process.env['JEST_WORKER_ID'] ?? 0) % WORKERS;
  const found = new Set<number>();
  while (found.size < count) {
    const nth = Math.floor((Math.random() * (PORTS.to - PORTS.from)) / WORKERS);
    const port = PORTS.from + nth * WORKERS + worker;
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
  if (listens) await new Promise((resolve) => server.close(resolve));
  return listens;
}

export async function listenAnywhere(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** A folder for one suite, with what runs in it; `clean()` leaves neither processes nor files. */
export class Workplace {
  readonly folder = mkdtempSync(join(tmpdir(), 'headroom-acceptance-'));
  readonly dataDir = join(this.folder, 'data');
  private readonly processes: HeadroomProcess[] = [];

  /** A file below the folder; a configuration is written as JSON, which is YAML. */
  write(name: string, content: string | object): string {
    const file = join(this.folder, name);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  }

  run(command: string, args: readonly string[]): HeadroomProcess {
    const started = new HeadroomProcess(command, args, { cwd: this.folder });
    this.processes.push(started);
    return started;
  }

  /** `headroom …` */
  headroom(...args: string[]): HeadroomProcess {
    return this.run(process.execPath, [bin, ...args]);
  }

  /** `headroom start` on this folder's data; more arguments follow. */
  start(configFile: string, ...more: string[]): HeadroomProcess {
    return this.headroom('start', '--config', configFile, '--data-dir', this.dataDir, ...more);
  }

  /** `headroom token` with the key of this folder's data. */
  async token(...scopes: string[]): Promise<string> {
    const command = this.headroom('token', '--data-dir', this.dataDir, '--for', '30m', '--scope', ...scopes);
    const { code } = await command.ended;
    if (code !== 0) throw new Error(`headroom token: must exit with 0, got ${code}: ${command.stderr}`);
    return command.stdout.trim();
  }

  /** Ends what still runs, as a test that failed in the middle leaves it: the next one must not fail with it. */
  async end(): Promise<void> {
    const started = this.processes.splice(0);
    for (const each of started) each.killGroup('SIGKILL');
    await Promise.all(started.map((each) => each.gone()));
  }

  async clean(): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
