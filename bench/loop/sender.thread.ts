// Thread of sendRequests: sends at the planned times and keeps every request.
import { parentPort, workerData } from 'node:worker_threads';
import { arrivalsOf, OpenLoopSender, RequestTally, type RequestTimes } from '#adapters/sources';
import { createRandom } from '#domain/simulation';
import type { SenderThreadData, SentRequests } from './sent-requests.js';
import { OBJECTIVE } from './setting.js';

const rows: (RequestTimes & { status: number })[] = [];
const lateMs: number[] = [];
const { target, ratesPerS, seed, startMs, scoredFromMs } = workerData as SenderThreadData;
const tally = new RequestTally(OBJECTIVE.responseMs, {
  sent: ({ latenessMs }) => lateMs.push(latenessMs),
  ended: (request) => rows.push(request),
});
const epochMs = () => performance.timeOrigin + performance.now();
const beginMs = epochMs();
const sender = new OpenLoopSender(target, tally, epochMs);

function* plannedMs(): Generator<number> {
  const steps = ratesPerS.map((ratePerS) => ({ durationMs: 1000, ratePerS }));
  for (const atMs of arrivalsOf(steps, createRandom(seed))) yield startMs - beginMs + atMs;
}

await sender.run(plannedMs());
const { byError, skipped } = tally.summary({ durationS: sender.elapsedMs() / 1000 });
const sent: SentRequests = {
  plannedMs: Float64Array.from(rows, (row) => row.plannedMs + beginMs - scoredFromMs),
  latencyMs: Float64Array.from(rows, (row) => row.latencyMs),
  status: Uint16Array.from(rows, ({ status }) => status),
  latenessMs: Float64Array.from(lateMs),
  byError: skipped === 0 ? byError : { ...byError, skipped },
};
parentPort!.postMessage(sent);
parentPort!.close();
