import { CATALOGUE, type MetricSpec } from './catalogue.js';

/** The text of docs/metrics.md. */
export function metricsPage(): string {
  const metrics = (Object.values(CATALOGUE) as MetricSpec[]).toSorted((a, b) => a.name.localeCompare(b.name));
  const entries = metrics.map(({ name, kind, labels, meaning }) => {
    const by = labels.length === 0 ? '' : ` by ${labels.map((label) => `\`${label}\``).join(', ')}`;
    return `## ${name}\n\n_${kind}${by}._ ${meaning}\n`;
  });
  return [
    '# Metrics\n',
    '`GET /metrics` (Prometheus text format, scope `metrics:read`). The unit is in the name. `pool` has at most',
    '`ingest.maxPools` values, with some ten series each where decisions are made; every other label is a closed list.',
    'Node’s own metrics (`nodejs_…`, `process_…`) are served beside these.\n',
    ...entries,
  ].join('\n');
}
