import type { EventLogServer } from '#adapters/event-log';
import type { Parts } from './parts.js';
import type { Readiness } from './system.controller.js';
import { checksOf, needsOf, type Check, type TargetName } from './targets.js';

/** Lag beyond which a consumer group counts as stuck, ms. */
const STUCK_AFTER_MS = 30_000;

/** What is missing for the targets of this process, and only for them. */
export async function readinessOf(
  parts: Parts,
  { targets, server }: { targets: readonly TargetName[]; server: EventLogServer | undefined },
): Promise<Readiness> {
  const full = parts.storeProblem();
  const failing = (server?.failing() ?? []).map(
    (group) => `consumer group ${group}: must have a member, got none`,
  );
  const log = needsOf(targets).has('log') ? await logProblems(parts, targets) : [];
  const checked = await Promise.all([...checksOf(targets)].map((check) => CHECKS[check](parts)));
  const problems = [...(full === undefined ? [] : [full]), ...failing, ...log, ...checked.flat()];
  return { ready: problems.length === 0, problems };
}

const CHECKS: Record<Check, (parts: Parts) => Promise<string[]> | string[]> = {
  workers: (parts) => parts.workerProblems({ unordered: 'fine' }),
  members: (parts) => parts.memberProblems(),
};

/** Whoever needs the log needs its answer; that executions are counted in time is ingest's own affair. */
async function logProblems({ log }: Parts, targets: readonly TargetName[]): Promise<string[]> {
  const lag = await log.lag({ group: 'ingest', topic: 'executions.v1' }).catch((error: Error) => error);
  if (lag instanceof Error) return [`event log: must answer, got ${lag.message}`];
  if (!targets.includes('ingest') || lag.ageMs <= STUCK_AFTER_MS) return [];
  return [`ingest: at most ${STUCK_AFTER_MS} ms behind, got ${lag.ageMs} ms`];
}
