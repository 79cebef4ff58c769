import { spawn, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import { READY_PATH, type FromWorker, type ToWorker, type WorkerStart } from '../worker-protocol.js';
import type { LaunchedWorker, WorkerListener } from '../worker-pool.js';

const PROBE_DEADLINE_MS = 1_000;
const PROBE_PAUSE_MS = 20;

/** A smaller young generation: 75 MB instead of 79 after a thousand requests, at no cost that shows (decision 6). */
const NODE_FLAGS = ['--max-semi-space-size=1'];

/** One child process, from spawn to exit. */
export class WorkerProcess implements LaunchedWorker {
  private readonly child: ChildProcess;
  private failure: string | undefined;
  private ended = false;

  constructor(
    given: { entry: string; start: () => Promise<WorkerStart> },
    private readonly listener: WorkerListener,
  ) {
    // In the group of its parent, so that whoever ends the group ends it too; it ignores the terminal's Ctrl-C by itself.
    // What handlers print goes to stderr: stdout belongs to the program.
    this.child = spawn(process.execPath, [...NODE_FLAGS, given.entry], { stdio: ['ignore', 2, 2, 'ipc'] });
    this.child.on('message', (message: FromWorker) => this.onMessage(message));
    this.child.once('error', (error) => this.onEnded(error.message));
    this.child.once('exit', (code, signal) => this.onEnded(signal ?? `exit code ${code}`));
    given.start().then(
      (start) => this.send(start),
      (error: Error) => {
        this.failure = error.message;
        this.kill();
      },
    );
  }

  drain(): void {
    this.send({ kind: 'drain' });
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  setToken(token: string): void {
    this.send({ kind: 'token', token });
  }

  /** A child that just died is told nothing; its exit event says the rest. */
  private send(message: ToWorker): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  private onMessage(message: FromWorker): void {
    switch (message.kind) {
      case 'listening':
        return void this.probe(`http://127.0.0.1:${message.port}`);
      case 'failed':
        this.failure = message.message;
        return;
      case 'events_dropped':
        this.listener.eventsDropped(message);
    }
  }

  /** Asks until it answers; the pool's start time-out kills a worker that never does, and that ends the asking. */
  private async probe(url: string): Promise<void> {
    while (!this.ended) {
      if (await answersReady(url)) return this.ended ? undefined : this.listener.ready(url);
      await new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE_MS));
    }
  }

  private onEnded(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.listener.ended(this.failure ?? reason);
  }
}

function answersReady(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  request(new URL(READY_PATH, url), { agent: false, signal: AbortSignal.timeout(PROBE_DEADLINE_MS) })
    .once('response', (reply) => {
      reply.resume();
      resolve(reply.statusCode === 200);
    })
    .once('error', () => resolve(false))
    .end();
  return promise;
}
