import {
  HPA_DEFAULTS,
  hpaStep,
  simulateLoop,
  type HpaMemory,
  type HpaSettings,
  type LoopObservation,
  type LoopResult,
} from '#domain/simulation';
import {
  BOUNDS,
  historyRates,
  OBJECTIVE,
  RAW_RATE_PER_S,
  SEASON_S,
  SERVICE_MS,
  SLOTS,
  START_S,
} from './setting.js';

/** Seconds of a real day in one of ours. */
const COMPRESSION = 86_400 / SEASON_S;
/** The autoscaler looks every half second; nobody can act more often. */
const TICK_S = 0.5;
/** Age of the demand that a decision sees, as measured: half a tick, the settling and the counting of the bucket. */
export const VIEW_AGE_S = 0.6;
/** The rate is taken over the newest buckets of so many seconds, as the demand that decisions see. */
const RATE_S = 2;

const STOCK_TARGET = 0.8;
const MOST_VIOLATION_SHARE = 0.01;

const TARGETS = [
  0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
];
/** 0–600 s of a real day are 0–1.7 s of ours; longer ones are offered too, up to Kubernetes' default uncompressed. */
const STABILISATIONS_S = [0, 300 / COMPRESSION, 600 / COMPRESSION, 5, 10, 20, 40, 300];
const TOLERANCES = [0, 0.05, 0.1];

/** Kubernetes' defaults in the time of the compressed day, but no window shorter than a tick. */
export function hpaSettings(chosen?: {
  target: number;
  stabilisationS: number;
  tolerance: number;
}): HpaSettings {
  const compressed = (seconds: number) => Math.max(TICK_S, seconds / COMPRESSION);
  const { scaleUp, scaleDown, syncS, toleranceRatio } = HPA_DEFAULTS;
  const policies = (of: HpaSettings['scaleUp']['policies']) =>
    of.map((policy) => ({ ...policy, periodS: compressed(policy.periodS) }));
  return {
    ...BOUNDS,
    // Slightly less than a tick, so that a tick that comes early is not passed over.
    syncS: compressed(syncS) * 0.9,
    targetPerWorker: (chosen?.target ?? STOCK_TARGET) * RAW_RATE_PER_S,
    toleranceRatio: chosen?.tolerance ?? toleranceRatio,
    scaleUp: { ...scaleUp, policies: policies(scaleUp.policies) },
    scaleDown: {
      ...scaleDown,
      stabilisationS: chosen?.stabilisationS ?? scaleDown.stabilisationS / COMPRESSION,
      policies: policies(scaleDown.policies),
    },
  };
}

export interface TunedHpa {
  chosen: { target: number; stabilisationS: number; tolerance: number };
  /** On the history, simulated. */
  violationSeconds: number;
  workerSeconds: number;
  violatingShare: number;
  /** false: nothing of the grid kept the violation seconds; it is the one with the fewest. */
  held: boolean;
}

/** The cheapest of the grid with ≤ 1 % violation seconds on the history, else the one with the fewest. */
export function tuneHpa(seed: number): TunedHpa {
  const ratesPerS = historyRates(seed);
  const tried = TARGETS.flatMap((target) =>
    STABILISATIONS_S.flatMap((stabilisationS) =>
      TOLERANCES.map((tolerance): Omit<TunedHpa, 'held'> => {
        const chosen = { target, stabilisationS, tolerance };
        const { violationSeconds, workerSeconds, violatingShare } = simulateHpa(
          hpaSettings(chosen),
          ratesPerS,
          seed,
        );
        return { chosen, violationSeconds, workerSeconds, violatingShare };
      }),
    ),
  );
  const holding = tried.filter(
    ({ violationSeconds }) => violationSeconds <= MOST_VIOLATION_SHARE * ratesPerS.length,
  );
  const cheapest = least(holding, ({ workerSeconds }) => workerSeconds);
  if (cheapest !== undefined) return { ...cheapest, held: true };
  return { ...(least(tried, ({ violationSeconds }) => violationSeconds) as TunedHpa), held: false };
}

function simulateHpa(settings: HpaSettings, ratesPerS: number[], seed: number): LoopResult {
  return simulateLoop({
    ratesPerS,
    serviceMs: SERVICE_MS,
    slotsPerWorker: SLOTS,
    leadTimeS: START_S + VIEW_AGE_S,
    objective: OBJECTIVE,
    initialWorkers: 2,
    seed,
    control: hpaControl(settings),
  });
}

/** The rule in simulateLoop. */
export function hpaControl(settings: HpaSettings): (observation: LoopObservation) => number {
  let memory: HpaMemory | undefined;
  return ({ nowS, arrivals, desired }) => {
    const metric = arrivals.slice(-RATE_S).reduce((sum, one) => sum + one, 0) / RATE_S;
    const step = hpaStep({ nowS, metric, workers: desired }, settings, memory);
    memory = step.memory;
    return step.desired;
  };
}

function least<Item>(items: Item[], of: (item: Item) => number): Item | undefined {
  return items.reduce<Item | undefined>(
    (best, item) => (best === undefined || of(item) < of(best) ? item : best),
    undefined,
  );
}
