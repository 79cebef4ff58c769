import { ApiClient, type Answer, type Sent } from './api-client.js';
import { eventually, type Ended, type HeadroomProcess, type Workplace } from './headroom-process.js';

// The suites run on any of these: the program as one process, or as several that share servers.

/** What a suite asks for; where each process listens, and on what it stands, is the deployment's. */
export interface Configuration {
  log?: object;
  ingest?: object;
  deadLetters?: object;
  pools: Record<string, { worker?: { handlers?: string }; source?: object; [more: string]: unknown }>;
}

export interface Deployment {
  readonly name: string;
  /** How much longer than one process this takes to start, or to recover. */
  readonly slowness: number;
  /** Resolves when every process is ready, and every pool with workers has one; no load begins much earlier. */
  start(work: Workplace, configuration: Configuration): Promise<Deployed>;
}

/** One process of a deployment. */
export interface Place {
  url: string;
  program: HeadroomProcess;
  /** The same again, after its end. */
  again(): HeadroomProcess;
}

/** What runs. */
export class Deployed {
  private nextRouter = 0;

  constructor(
    readonly places: Place[],
    readonly api: ApiClient,
    private readonly routers: string[],
  ) {}

  /** Origin of a router; of several the next one. */
  get router(): string {
    this.nextRouter += 1;
    return this.routers[this.nextRouter % this.routers.length] as string;
  }

  get programs(): HeadroomProcess[] {
    return this.places.map(({ program }) => program);
  }

  /** Waits for a line that any of them prints. */
  async line(pattern: RegExp): Promise<void> {
    const isPrinted = () => this.programs.some(({ output }) => pattern.test(output));
    await eventually(`output ${pattern}`, () => isPrinted() || undefined);
  }

  /** Log lines of level error or fatal. */
  get errors(): string[] {
    const lines = this.programs.flatMap(({ stderr }) => stderr.split('\n'));
    return lines.filter((line) => /"level":(50|60)/.test(line));
  }

  /** Kills one of them with -9, chosen by a number in [0, 1), and starts it again. */
  async killOne(random: number): Promise<void> {
    const place = this.places[Math.floor(random * this.places.length)] as Place;
    place.program.kill('SIGKILL');
    await place.program.gone();
    place.program = place.again();
  }

  /** Resolves when all have started and are ready. */
  async ready(): Promise<void> {
    await Promise.all(this.places.map(readyAt));
  }

  /** Ends all, those that others need last. */
  async stop(): Promise<Ended[]> {
    const ended: Ended[] = [];
    for (const program of this.programs.toReversed()) {
      program.kill('SIGTERM');
      ended.push(await program.ended);
    }
    return ended;
  }
}

async function readyAt({ url, program }: Place): Promise<void> {
  await program.line(/^headroom: (NOT )?ready after/m);
  const api = new ApiClient(url);
  let said: unknown;
  await eventually(`${url}/readyz`, async () => {
    const { status, body } = await api.get('/readyz');
    said = body;
    return status === 200 || undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it says ${JSON.stringify(said)}, and before:\n${program.output}`);
  });
}

/** Waits until each of these pools has a worker that the routers may choose. */
export async function withWorkers(api: ApiClient, pools: string[]): Promise<void> {
  for (const pool of pools) {
    await eventually(`a worker of ${pool}`, async () => {
      const { body } = await api.get<{ workers: { ready: number } | null }>(`/v1/pools/${pool}`);
      return (body.workers?.ready ?? 0) > 0 || undefined;
    });
  }
}

export function poolsWithWorkers({ pools }: Configuration): string[] {
  return Object.keys(pools).filter((pool) => pools[pool]?.worker?.handlers !== undefined);
}

interface Spread {
  /** Origin of every process. */
  everywhere: readonly string[];
  /** Those that serve a path: any of them answers it, so one that is away is passed over. */
  origins: (path: string) => readonly string[];
  bearer: string;
}

/** The API of several processes as a balancer in front of them shows it: to each by what it serves, in turns. */
export class SpreadApi extends ApiClient {
  private next = 0;

  constructor(private readonly spread: Spread) {
    super('', spread.bearer);
  }

  override async send<T>(method: string, path: string, sent: Sent = {}): Promise<Answer<T>> {
    if (path === '/readyz') return this.worst(path);
    const origins = this.spread.origins(path);
    this.next += 1;
    for (let tried = 0; ; tried++) {
      const origin = origins[(this.next + tried) % origins.length] as string;
      try {
        return await this.at(origin).send<T>(method, path, sent);
      } catch (error) {
        if (tried === origins.length - 1) throw error;
      }
    }
  }

  /** Samples of all, those of the same name and labels added. */
  override async metrics(): Promise<Map<string, number>> {
    const sums = new Map<string, number>();
    for (const samples of await Promise.all(this.spread.everywhere.map((url) => this.at(url).metrics())))
      for (const [key, value] of samples) sums.set(key, (sums.get(key) ?? 0) + value);
    return sums;
  }

  private async worst<T>(path: string): Promise<Answer<T>> {
    const answers = await Promise.all(this.spread.everywhere.map((url) => this.at(url).get<T>(path)));
    return answers.find(({ status }) => status !== 200) ?? (answers[0] as Answer<T>);
  }

  private at(origin: string): ApiClient {
    return new ApiClient(origin, this.spread.bearer);
  }
}
