/** A change of at most `value` workers, or per cent of them, within `periodS`. */
export interface HpaPolicy {
  kind: 'workers' | 'percent';
  value: number;
  periodS: number;
}

export interface HpaBehaviour {
  stabilisationS: number;
  policies: HpaPolicy[];
  /** `max`: the policy that allows the largest change; `min`: the smallest; `disabled`: no change. */
  select: 'max' | 'min' | 'disabled';
}

export interface HpaSettings {
  /** AverageValue target: metric per worker. */
  targetPerWorker: number;
  minWorkers: number;
  maxWorkers: number;
  syncS: number;
  toleranceRatio: number;
  scaleUp: HpaBehaviour;
  scaleDown: HpaBehaviour;
}

/** The defaults of Kubernetes (pkg/apis/autoscaling/v2/defaults.go), but for target and bounds. */
export const HPA_DEFAULTS: Omit<HpaSettings, 'targetPerWorker' | 'minWorkers' | 'maxWorkers'> = {
  syncS: 15,
  toleranceRatio: 0.1,
  scaleUp: {
    stabilisationS: 0,
    policies: [
      { kind: 'workers', value: 4, periodS: 15 },
      { kind: 'percent', value: 100, periodS: 15 },
    ],
    select: 'max',
  },
  scaleDown: { stabilisationS: 300, policies: [{ kind: 'percent', value: 100, periodS: 15 }], select: 'max' },
};

export interface HpaMemory {
  lastSyncS: number;
  /** Within the longer stabilisation window. */
  recommendations: { atS: number; workers: number }[];
  /** Within the longest policy period. */
  changes: { atS: number; delta: number }[];
}

export interface HpaInput {
  nowS: number;
  /** Sum of the metric over the pool, e.g. requests per second; undefined when it cannot be read. */
  metric: number | undefined;
  /** Workers asked for now. */
  workers: number;
}

/**
 * Kubernetes' HorizontalPodAutoscaler v2 on one external metric with an AverageValue target: the opponent of the
 * benches. May be called at any time; it answers anew every `syncS` and repeats `workers` in between.
 */
export function hpaStep(
  input: HpaInput,
  settings: HpaSettings,
  memory: HpaMemory | undefined,
): { desired: number; memory: HpaMemory } {
  const { nowS, workers } = input;
  const past = memory ?? { lastSyncS: -Infinity, recommendations: [], changes: [] };
  if (nowS - past.lastSyncS < settings.syncS) return { desired: workers, memory: past };
  const { desired, recommendations } = sync(input, settings, past);
  const changes = recent(past.changes, nowS, longestPeriodS(settings));
  if (desired !== workers) changes.push({ atS: nowS, delta: desired - workers });
  return { desired, memory: { lastSyncS: nowS, recommendations, changes } };
}

function sync(
  { nowS, metric, workers }: HpaInput,
  settings: HpaSettings,
  past: HpaMemory,
): { desired: number; recommendations: HpaMemory['recommendations'] } {
  const { minWorkers, maxWorkers, scaleUp, scaleDown } = settings;
  const windowS = Math.max(scaleUp.stabilisationS, scaleDown.stabilisationS);
  const recommendations = recent(past.recommendations, nowS, windowS);
  // Zero is switched on by others (KEDA); outside the bounds the metric is not evaluated.
  if (workers === 0 && minWorkers > 0) return { desired: 0, recommendations };
  if (workers > maxWorkers) return { desired: maxWorkers, recommendations };
  if (workers < minWorkers) return { desired: minWorkers, recommendations };
  if (metric === undefined) return { desired: workers, recommendations };
  recommendations.push({ atS: nowS, workers: recommend(metric, workers, settings) });
  const stable = stabilise(workers, nowS, recommendations, settings);
  return { desired: rateLimited(stable, { nowS, workers }, settings, past.changes), recommendations };
}

function recommend(metric: number, workers: number, settings: HpaSettings): number {
  const { targetPerWorker, toleranceRatio } = settings;
  const usageRatio = metric / (targetPerWorker * workers);
  return Math.abs(1 - usageRatio) <= toleranceRatio ? workers : Math.ceil(metric / targetPerWorker);
}

/** The nearest number to the present one that no recommendation of the windows forbids. */
function stabilise(
  workers: number,
  nowS: number,
  recommendations: HpaMemory['recommendations'],
  { scaleUp, scaleDown }: HpaSettings,
): number {
  const latest = (recommendations.at(-1) as { workers: number }).workers;
  const within = (windowS: number) => recent(recommendations, nowS, windowS).map(({ workers }) => workers);
  const up = Math.min(latest, ...within(scaleUp.stabilisationS));
  const down = Math.max(latest, ...within(scaleDown.stabilisationS));
  return Math.min(Math.max(workers, up), down);
}

function rateLimited(
  stable: number,
  { nowS, workers }: { nowS: number; workers: number },
  { scaleUp, scaleDown, minWorkers, maxWorkers }: HpaSettings,
  changes: HpaMemory['changes'],
): number {
  const startOf = ({ periodS }: HpaPolicy) =>
    recent(changes, nowS, periodS).reduce((start, { delta }) => start - delta, workers);
  if (stable > workers) {
    const limits = scaleUp.policies.map((policy) =>
      policy.kind === 'workers'
        ? startOf(policy) + policy.value
        : Math.ceil(startOf(policy) * (1 + policy.value / 100)),
    );
    return Math.min(stable, maxWorkers, Math.max(workers, chosen(limits, scaleUp.select, 'up') ?? workers));
  }
  const limits = scaleDown.policies.map((policy) =>
    policy.kind === 'workers'
      ? startOf(policy) - policy.value
      : Math.trunc(startOf(policy) * (1 - policy.value / 100)),
  );
  return Math.max(stable, minWorkers, Math.min(workers, chosen(limits, scaleDown.select, 'down') ?? workers));
}

/** undefined: no change is allowed. */
function chosen(
  limits: number[],
  select: HpaBehaviour['select'],
  direction: 'up' | 'down',
): number | undefined {
  if (select === 'disabled' || limits.length === 0) return undefined;
  return (select === 'max') === (direction === 'up') ? Math.max(...limits) : Math.min(...limits);
}

function recent<Entry extends { atS: number }>(entries: Entry[], nowS: number, windowS: number): Entry[] {
  return entries.filter(({ atS }) => atS > nowS - windowS);
}

function longestPeriodS({ scaleUp, scaleDown }: HpaSettings): number {
  return Math.max(0, ...[...scaleUp.policies, ...scaleDown.policies].map(({ periodS }) => periodS));
}
