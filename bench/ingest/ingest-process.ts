import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_DIR } from '../report.js';
import { cpuS, rssMb } from './linux-process.js';
import type { Sighting } from './measured-run.js';
import { CORES, DEDUPE_WINDOW_S, PARTITIONS, TOPIC } from './setting.js';

const BIN = join(PROJECT_DIR, 'apps', 'headroom', 'bin.js');
/** As the program is started by its first line. */
const FLAGS = ['--max-semi-space-size=4', '--disable-warning=TimeoutNegativeWarning'];
const READY_WITHIN_MS = 180_000;
const LOOK_EVERY_MS = 500;
const POLL_MS = 20;
const HANDLED = new RegExp(
  `^headroom_consumer_records_total\\{group="ingest",topic="${TOPIC}"\\} (\\d+)`,
  'm',
);

export interface IngestOptions {
  /** Parts of the configuration that are not the same in every run. */
  config: { eventLog?: object; store?: object; pools?: object };
  dataDir: string;
}

/** `headroom start --target ingest` on a core of its own. */
export class IngestProcess {
  private output = '';
  private readonly startedMs = performance.now();
  private token = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly given: { url: string; dataDir: string },
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  static async start({ config, dataDir }: IngestOptions): Promise<IngestProcess> {
    const [port, router] = [await freePort(), await freePort()];
    const file = join(dataDir, 'bench.yaml');
    const ingest = { partitions: PARTITIONS, dedupeWindowS: DEDUPE_WINDOW_S };
    const all = { ...config, ingest, api: { port }, router: { port: router }, log: { statusEveryS: 0 } };
    writeFileSync(file, JSON.stringify(all));
    const program = [process.execPath, ...FLAGS, BIN, 'start', '--target', 'ingest', '--config', file];
    const child = spawn('taskset', ['-c', String(CORES.reader), ...program, '--data-dir', dataDir], {
      cwd: PROJECT_DIR,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new IngestProcess(child, { url: `http://127.0.0.1:${port}`, dataDir });
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** Milliseconds from its start to the line that says so. */
  async ready(): Promise<number> {
    while (!/^headroom: (NOT )?ready after/m.test(this.output)) {
      const waitedMs = performance.now() - this.startedMs;
      if (waitedMs > READY_WITHIN_MS || this.child.exitCode !== null)
        throw new Error(`bench:ingest: must be ready within ${READY_WITHIN_MS} ms, got\n${this.output}`);
      await delay(POLL_MS);
    }
    return performance.now() - this.startedMs;
  }

  /** What it has handled and committed, again and again until it is that much. */
  async until(events: number, tell: (sighting: Sighting) => void = () => undefined): Promise<Sighting[]> {
    const sightings: Sighting[] = [];
    for (;;) {
      const sighting = await this.look();
      sightings.push(sighting);
      tell(sighting);
      if (sighting.events >= events) return sightings;
      await delay(LOOK_EVERY_MS);
    }
  }

  /** Records that it read again when it took its partitions over, and how long that took. */
  replayed(): { records: number; durationMs: number } {
    const lines = this.output.split('\n').filter((line) => line.includes('ingest took a partition over'));
    const all = lines.map((line) => JSON.parse(line) as { replayed: number; durationMs: number });
    const sum = (figures: number[]) => figures.reduce((total, figure) => total + figure, 0);
    return {
      records: sum(all.map(({ replayed }) => replayed)),
      durationMs: sum(all.map(({ durationMs }) => durationMs)),
    };
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
    const errors = this.output.split('\n').filter((line) => /"level":(50|60)/.test(line));
    if (errors.length > 0) throw new Error(`bench:ingest: no errors, got\n${errors.slice(0, 5).join('\n')}`);
  }

  /** Nothing while it starts. */
  private async metrics(): Promise<string> {
    const { url, dataDir } = this.given;
    try {
      await fetch(`${url}/healthz`);
    } catch {
      return '';
    }
    this.token ||= tokenOf(dataDir);
    const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${this.token}` } });
    return answer.text();
  }

  /** What a failed run has left. */
  kill(): void {
    this.child.kill('SIGKILL');
  }

  private async look(): Promise<Sighting> {
    if (this.child.exitCode !== null) throw new Error(`bench:ingest: must run, got\n${this.output}`);
    const page = await this.metrics();
    const events = Number(HANDLED.exec(page)?.[1] ?? 0);
    return { events, atMs: performance.now(), cpuS: cpuS(this.pid), rssMb: rssMb(this.pid) };
  }
}

/** A data directory for one run; what runs in it is ended, and it is removed. */
export async function withIngest<T>(
  config: IngestOptions['config'],
  work: (start: () => Promise<IngestProcess>, dataDir: string) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'headroom-bench-ingest-'));
  const started: IngestProcess[] = [];
  const start = async () => {
    const one = await IngestProcess.start({ config, dataDir });
    started.push(one);
    return one;
  };
  try {
    return await work(start, dataDir);
  } finally {
    for (const one of started) one.kill();
    rmSync(dataDir, { recursive: true });
  }
}

function tokenOf(dataDir: string): string {
  const command = [BIN, 'token', '--data-dir', dataDir, '--for', '12h', '--scope', 'all'];
  return spawnSync(process.execPath, command, { encoding: 'utf8' }).stdout.trim();
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
