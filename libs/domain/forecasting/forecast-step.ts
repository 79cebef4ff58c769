import { updateHolt } from './experts/damped-holt.js';
import { LEVELS, type Forecast } from './forecast.js';
import { correct, push } from './history.js';
import { isReactiveOnly, isSilent, issue, type ExternalForecast } from './issue.js';
import type { ForecastMemory } from './memory.js';
import { learnOutcome } from './outcome.js';
import { fromRoot, rootOfReported } from './scale.js';
import type { ForecastSettings } from './settings.js';
import { newStage, type Stage } from './stage.js';

/** A closed bucket. null (or no number, or a negative one): missing, which is not the same as none arrived. */
export interface ClosedBucket {
  startMs: number;
  arrivals: number | null;
}

export interface ForecastInput {
  settings: ForecastSettings;
  /**
   * Closed buckets, oldest first, whole buckets apart. What lies between two of them is missing. One that was seen
   * already replaces what is remembered of it: late events change later forecasts, and nothing that was scored.
   */
  closed: readonly ClosedBucket[];
  /**
   * What the expert named in settings.external says with the last closed bucket as origin: arrivals at LEVELS,
   * non-decreasing. A horizon that is not there, or not numbers, leaves it without a vote.
   */
  external?: ExternalForecast;
}

/**
 * Takes closed buckets and forecasts from the last of them. One call with many equals many calls with one: each bucket
 * on the way is forecast and scored too, which is how weights and errors are learned from history. Nothing new to take:
 * forecasts again from the last one known. Output undefined: nothing known in the latest MAX_SILENT_BUCKETS.
 * The memory is changed in place. Throws a RangeError when buckets are not whole buckets apart.
 */
export function forecastStep(
  { settings, closed, external }: ForecastInput,
  memory: ForecastMemory,
): { output: Forecast | undefined; memory: ForecastMemory } {
  const stage = newStage(settings);
  let isIssued = false;
  for (const bucket of closed) {
    const ahead = bucketsAhead(bucket, stage, memory);
    const root = rootOfReported(bucket.arrivals);
    if (ahead <= 0) {
      correct(memory.history, memory.history.end - 1 + ahead, root);
      continue;
    }
    skipMissing(ahead - 1, stage, memory);
    closeBucket(root, stage, memory);
    memory.lastStartMs = bucket.startMs;
    isIssued = true;
  }
  if (isSilent(memory)) return { output: undefined, memory };
  // `external` speaks of the last origin only: with it, that one is forecast once more.
  if (!isIssued || external !== undefined) issue(stage, memory, external);
  return { output: forecastOf(stage, memory), memory };
}

/** 1: the bucket follows the last one seen; 0 and less: it was seen already. */
function bucketsAhead(
  { startMs }: ClosedBucket,
  { settings }: Stage,
  { lastStartMs }: ForecastMemory,
): number {
  if (lastStartMs === undefined) return 1;
  const buckets = (startMs - lastStartMs) / (settings.bucketS * 1000);
  const whole = Math.round(buckets);
  if (Math.abs(buckets - whole) > 1e-6 * Math.max(1, Math.abs(whole))) {
    throw new RangeError(`startMs: whole buckets from ${lastStartMs}, got ${startMs}`);
  }
  return whole;
}

/** Missing buckets beyond what is kept need only be counted: each would overwrite another one. */
function skipMissing(missing: number, stage: Stage, memory: ForecastMemory): void {
  const { history } = memory;
  history.end += Math.max(0, missing - history.ring.length);
  for (let i = Math.min(missing, history.ring.length); i > 0; i--) closeBucket(NaN, stage, memory);
}

function closeBucket(root: number, stage: Stage, memory: ForecastMemory): void {
  if (!Number.isNaN(root)) learnOutcome(root, stage, memory);
  push(memory.history, root);
  updateHolt(memory.holt, root);
  issue(stage, memory, undefined);
}

function forecastOf(stage: Stage, memory: ForecastMemory): Forecast {
  const { settings, names, issued } = stage;
  const first = issued[0]?.weights ?? new Float64Array(names.length);
  return {
    v: 1,
    pool: settings.pool,
    originMs: memory.lastStartMs ?? 0,
    bucketS: settings.bucketS,
    horizons: settings.horizonsS.map((horizonS, i) => ({
      horizonS,
      levels: [...LEVELS],
      values: Array.from(issued[i]?.roots ?? [], fromRoot),
    })),
    provenance: {
      weights: Object.fromEntries(names.map((name, expert) => [name, first[expert] ?? 0])),
      historyBuckets: memory.history.known,
      state: isReactiveOnly(stage, memory) ? 'reactive-only' : 'warm',
    },
  };
}
