// Thread of startPacedRequests: draws arrival times, sends, counts, reports.
import { parentPort, workerData } from 'node:worker_threads';
import { createRandom } from '#domain/simulation';
import { arrivalsOf } from './arrivals.js';
import { OpenLoopSender } from './open-loop-sender.js';
import { stepsOf } from './paced-load.js';
import type { PacedMessage, PacedThreadData } from './paced-requests.js';
import { RequestTally } from './request-tally.js';

const PROGRESS_MS = 1000;

const data = workerData as PacedThreadData;
const port = parentPort!;
const tally = new RequestTally(data.objectiveMs);
const sender = new OpenLoopSender(data, tally, () => performance.now());

function tell(message: PacedMessage): void {
  port.postMessage(message);
}

function summary() {
  return tally.summary({ durationS: sender.elapsedMs() / 1000 });
}

port.on('message', () => sender.stop());
const progress = setInterval(() => tell({ kind: 'progress', summary: summary() }), PROGRESS_MS);
const outcome = await sender.run(arrivalsOf(stepsOf(data.load), createRandom(data.seed)));
clearInterval(progress);
tell({ kind: 'end', outcome, summary: summary() });
port.close();
