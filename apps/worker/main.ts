import { join } from 'node:path';
import type { FromWorker, ToWorker } from '#adapters/fleet/worker-protocol';
import { LimitedNotes, type Note } from '#adapters/notes';
import { Worker } from './worker.js';

// The process of one worker, started by a fleet with an IPC channel. See libs/adapters/fleet/worker-protocol.ts.

// Ctrl-C in a terminal reaches the whole process group; the parent decides when its workers drain.
process.on('SIGINT', () => {});

/** pino's numbers: the program's log and its workers' are one stream. pino itself would cost every worker memory. */
const WARN = 40;
let whoAmI: { pool: string; workerId: string } | undefined;
const notes = new LimitedNotes((note: Note) => {
  const line = { level: WARN, time: new Date().toISOString(), ...whoAmI, ...note };
  process.stderr.write(`${JSON.stringify(line)}\n`);
});

const worker = new Worker({
  // dist/apps/worker/ → the folder of package.json
  projectDir: join(import.meta.dirname, '..', '..', '..'),
  tell: (message: FromWorker) => void process.send?.(message, undefined, undefined, () => {}),
  note: (note) => notes.note(note),
  exit: (code) => exitWhenTold(code),
});

/** What was told to the parent is on its way when the channel has been flushed: then, and not before, the end. */
function exitWhenTold(code: number): void {
  if (!process.connected) process.exit(code);
  process.off('disconnect', onOrphaned);
  process.once('disconnect', () => process.exit(code));
  process.disconnect();
}

function onMessage(message: ToWorker): void {
  switch (message.kind) {
    case 'start':
      whoAmI = { pool: message.pool, workerId: message.workerId };
      process.title = `headroom worker ${message.workerId}`;
      void worker.start(message);
      return;
    case 'token':
      worker.setToken(message.token);
      return;
    case 'drain':
      void worker.drain();
  }
}

/** Nobody is left to route to this worker, to take its events, or to end it. */
function onOrphaned(): void {
  process.exit(1);
}

process.on('SIGTERM', () => void worker.drain());
// A promise a handler forgot harms nobody else. An exception outside of every promise leaves the process in an unknown
// state: it ends, and the fleet starts another.
process.on('unhandledRejection', (reason) => {
  const err = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
  notes.note({ msg: 'a handler left a promise behind', err });
});
process.on('uncaughtException', (error) => {
  notes.note({ msg: 'a handler threw outside of its promise', err: error.stack ?? error.message });
  process.exit(1);
});

if (process.send === undefined) {
  process.stderr.write('worker: must be started by a fleet with an IPC channel, got none\n');
  process.exitCode = 2;
} else {
  process.on('disconnect', onOrphaned);
  process.on('message', onMessage);
}
