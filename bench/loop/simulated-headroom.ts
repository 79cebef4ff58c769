import { addToSketch, emptySketch, type DemandView, type Sketch } from '#domain/demand';
import { forecastStep, newForecastMemory, type Forecast, type ForecastSettings } from '#domain/forecasting';
import { decide, policySchema, type DecisionMemory, type Policy } from '#domain/scaling';
import { createRandom, drawLognormal, type LoopObservation } from '#domain/simulation';
import { BOUNDS, OBJECTIVE, POOL, SEASON_S, SERVICE_MS, SLOTS, START_S } from './setting.js';

/** As forecast by the shipped settings: leadTimeMaxS is the start delay and five seconds. */
const HORIZONS_S = Array.from({ length: 11 }, (_, i) => i + 1);
/** Service times behind the sizing: as many as decisions look at. */
const SERVICE_SAMPLES = 500;
const RATE_S = 2;

/** Replaces the demand that a decision sees, e.g. by one with another measure of the peak inside buckets. */
export type ChangeView = (view: DemandView, arrivals: readonly number[]) => DemandView;

/** Headroom's forecast and decision in simulateLoop, warm from `history` (arrivals per second before the run). */
export function simulatedHeadroom(given: {
  policy: Record<string, unknown>;
  history: readonly number[];
  seed: number;
  changeView?: ChangeView;
  /** For each decision: what it saw. */
  watch?: (seen: { nowS: number; priced: number | undefined; needed: number | undefined }) => void;
}): (observation: LoopObservation) => number {
  const { history, seed, changeView = (view) => view, watch } = given;
  const policy: Policy = policySchema.parse({
    mode: 'predictive',
    objective: OBJECTIVE,
    bounds: BOUNDS,
    ...given.policy,
  });
  const settings: ForecastSettings = { pool: POOL, bucketS: 1, seasonsS: [SEASON_S], horizonsS: HORIZONS_S };
  const startMs = history.length * 1000;
  let forecasting = newForecastMemory(settings);
  const closed = history.map((arrivals, second) => ({ startMs: second * 1000, arrivals }));
  forecasting = forecastStep({ settings, closed }, forecasting).memory;
  const serviceMs = serviceSketch(seed);
  const trailingRatePerS = history.reduce((sum, one) => sum + one, 0) / history.length;
  let memory: DecisionMemory | undefined;
  return ({ nowS, arrivals, ...workers }) => {
    const nowMs = startMs + nowS * 1000;
    const latest = { startMs: nowMs - 1000, arrivals: arrivals.at(-1) as number };
    const step = forecastStep({ settings, closed: [latest] }, forecasting);
    forecasting = step.memory;
    const rate = arrivals.slice(-RATE_S).reduce((sum, one) => sum + one, 0) / RATE_S;
    const view: DemandView = {
      arrivalRatePerS: rate,
      attemptsPerArrival: 1,
      backlog: workers.backlog,
      inFlight: workers.inFlight,
      serviceMs,
      responseMs: serviceMs,
      trailingRatePerS,
      asOfMs: nowMs,
    };
    const made = decide(
      {
        nowMs,
        pool: POOL,
        bucketS: 1,
        seasonS: SEASON_S,
        policy,
        policyVersion: 1,
        demand: changeView(view, arrivals),
        forecast: step.output as Forecast | undefined,
        fleet: { ...workers, slotsPerWorker: SLOTS, leadTimeS: START_S + 0.2 },
      },
      memory,
    );
    memory = made.memory;
    watch?.({ nowS, priced: made.decision.pricedLevel, needed: made.decision.neededNow });
    return made.decision.desired;
  };
}

function serviceSketch(seed: number): Sketch {
  const random = createRandom(seed);
  const sketch = emptySketch();
  for (let i = 0; i < SERVICE_SAMPLES; i++) addToSketch(sketch, drawLognormal(SERVICE_MS, random));
  return sketch;
}
