import type { Note } from '#adapters/notes';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpSink, type EventSink, type EventSinkObserver } from '#adapters/event-sink';
import type { FromWorker, WorkerStart } from '#adapters/fleet/worker-protocol';
import { DropReports } from './drop-reports.js';
import { createEpochClock } from '#adapters/clock';
import { ExecutionServer } from './execution-server.js';
import { loadHandlers, type Handlers } from './handler-folder.js';

/** The last events of a leaving worker must be acknowledged within this time, or are lost. */
const LAST_EVENTS_MS = 3_000;

export interface WorkerSurroundings {
  /** Where this program is installed: the folder of package.json. */
  projectDir: string;
  tell: (message: FromWorker) => void;
  /** One line for people. */
  note: (note: Note) => void;
  /** Ends the process. */
  exit: (code: number) => void;
}

/** The life of a worker: started once, drained once; it may be asked to drain before it has started. */
export class Worker {
  private readonly leaving = new AbortController();
  private readonly drops: DropReports<'overflow' | 'refused' | 'closed'>;
  private server: ExecutionServer | undefined;
  private sink: EventSink = NOWHERE;
  private drainMs = 0;

  constructor(private readonly around: WorkerSurroundings) {
    this.drops = new DropReports((drop) => around.tell({ kind: 'events_dropped', ...drop }));
  }

  /** Never rejects: a worker that cannot start says so and ends. */
  async start(order: WorkerStart): Promise<void> {
    try {
      await this.begin(order);
    } catch (error) {
      this.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  private async begin(order: WorkerStart): Promise<void> {
    const beginMs = performance.now();
    const loaded = await loadHandlers({ dir: order.handlersDir, projectDir: this.around.projectDir });
    if (!loaded.ok) return this.fail(loaded.problem);
    await this.pause(order.startDelayMs - (performance.now() - beginMs));
    if (this.leaving.signal.aborted) return;
    this.drainMs = order.drainMs;
    if (order.events !== undefined)
      this.sink = new HttpSink({ ...order.events, observer: this.sinkObserver() });
    this.server = this.serverOf(order, loaded.handlers);
    this.around.tell({ kind: 'listening', port: await this.server.listen() });
  }

  setToken(token: string): void {
    if (this.sink instanceof HttpSink) this.sink.setToken(token);
  }

  /** Finishes what it has, sends the last events, exits with 0. */
  async drain(): Promise<void> {
    if (this.leaving.signal.aborted) return;
    this.leaving.abort();
    await this.server?.drain(this.drainMs);
    await this.sink.close(LAST_EVENTS_MS);
    this.drops.flush();
    this.around.exit(0);
  }

  private fail(message: string): void {
    this.around.tell({ kind: 'failed', message });
    this.around.exit(1);
  }

  private async pause(ms: number): Promise<void> {
    const { signal } = this.leaving;
    if (ms > 0) await delay(ms, undefined, { signal }).catch(() => undefined);
  }

  private serverOf(order: WorkerStart, handlers: Handlers): ExecutionServer {
    const { pool, workerId, slots, queueLimit } = order;
    const { note, exit } = this.around;
    return new ExecutionServer({
      pool,
      workerId,
      slots,
      queueLimit,
      handlers,
      sink: this.sink,
      nowMs: createEpochClock(),
      onOverrun: () => {
        note({ msg: 'too many handlers ignore their signal: the worker ends, to be replaced' });
        exit(1);
      },
      onHandlerError: ({ executionId, error }) => {
        note({ msg: 'a handler failed', executionId, err: textOf(error) });
      },
    });
  }

  private sinkObserver(): EventSinkObserver {
    return {
      acknowledged: () => undefined,
      dropped: (events, reason) => this.drops.add(events, reason),
      retrying: (error, retryInMs) =>
        this.around.note({
          msg: `execution events are sent again in ${Math.round(retryInMs)} ms`,
          err: error.message,
        }),
    };
  }
}

/** Where events go when nobody wants them. */
const NOWHERE: EventSink = {
  emit: () => undefined,
  flush: async () => undefined,
  close: async () => undefined,
};

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
