import { sketchQuantile } from '#domain/demand';
import type { Forecast } from '#domain/forecasting';
import { quantileAt } from '#domain/forecasting';
import type { Decision, DecisionInput } from '#domain/scaling';

/** The latest decision of every pool, to be shown to whoever watches the terminal. */
export class StatusLines {
  private readonly latest = new Map<string, { decision: Decision; input: DecisionInput }>();

  decided(made: { decision: Decision; input: DecisionInput }): void {
    this.latest.set(made.decision.pool, made);
  }

  forgotten(pool: string): void {
    this.latest.delete(pool);
  }

  /** One line per pool, in order of their names. */
  lines(): string[] {
    return [...this.latest.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([pool, { decision, input }]) => lineOf(pool, decision, input));
  }
}

function lineOf(pool: string, decision: Decision, input: DecisionInput): string {
  const { demand, fleet } = input;
  const arrivals = demand === undefined ? '?' : demand.arrivalRatePerS.toFixed(0);
  const ready = fleet?.assumed ? 'elsewhere ' : (fleet?.ready ?? '?');
  const workers = `workers ${ready}→${decision.desired}`;
  const p95Ms = demand && sketchQuantile(demand.responseMs, 0.95);
  const p95 = p95Ms === undefined ? 'p95 –' : `p95 ${p95Ms.toFixed(0)} ms`;
  const columns = [
    pool.padEnd(8),
    `arrivals ${arrivals}/s`.padEnd(15),
    forecastText(input.forecast, input).padEnd(26),
    workers.padEnd(14),
    p95.padEnd(10),
    `${decision.kind} (${decision.reason}): ${decision.explanation}`,
  ];
  return columns.join('  ');
}

/** Median and 95 % at the lead time, per second. */
function forecastText(forecast: Forecast | undefined, { fleet, bucketS }: DecisionInput): string {
  if (forecast === undefined) return 'no forecast';
  const leadS = (Math.ceil((fleet?.leadTimeS ?? 0) / bucketS) + 1) * bucketS;
  const at = forecast.horizons.find(({ horizonS }) => horizonS >= leadS) ?? forecast.horizons.at(-1);
  if (at === undefined) return 'no forecast';
  const [q50, q95] = [0.5, 0.95].map((q) => (quantileAt(at, q) / bucketS).toFixed(0));
  return `in ${at.horizonS} s ${q50}/${q95}/s`;
}
