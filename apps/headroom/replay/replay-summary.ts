import type { PacedOutcome, PacedSummary } from '#adapters/sources';

/** The end of a replay in words and numbers. */
export function summaryLines(end: {
  outcome: PacedOutcome;
  summary: PacedSummary;
  missing: number;
  pool: string;
}): string[] {
  const { summary, outcome, missing, pool } = end;
  const { sent, ok, skipped, late, latencyMs, overObjectiveRatio, objectiveMs, durationS } = summary;
  const missed = missing === 0 ? '' : `, ${missing} missing buckets sent nothing`;
  return [
    `replay of pool ${pool} ${outcome} after ${durationS.toFixed(1)} s${missed}`,
    `  sent      ${sent} (${late} late), skipped ${skipped}`,
    `  ok        ${ok} (${percent(sent === 0 ? undefined : ok / sent)})`,
    `  by status ${countsText(summary.byStatus)}`,
    `  errors    ${countsText(summary.byError)}`,
    `  latency   ${latencyText(latencyMs)}`,
    `  over ${objectiveMs} ms, failed or skipped: ${percent(overObjectiveRatio)}`,
  ];
}

export function latencyText(latencyMs: PacedSummary['latencyMs']): string {
  if (latencyMs === undefined) return 'no answer';
  const { p50, p95, p99, max } = latencyMs;
  return `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`;
}

function countsText(counts: Record<string, number>): string {
  const entries = Object.entries(counts);
  return entries.length === 0 ? 'none' : entries.map(([name, count]) => `${name}: ${count}`).join(', ');
}

function percent(ratio: number | undefined): string {
  return ratio === undefined ? 'no request' : `${(100 * ratio).toFixed(2)} %`;
}
