import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { CATALOGUE, type MetricSpec } from './catalogue.js';

type Instrument<Spec extends MetricSpec> = Spec['kind'] extends 'counter'
  ? Counter<Spec['labels'][number]>
  : Spec['kind'] extends 'gauge'
    ? Gauge<Spec['labels'][number]>
    : Histogram<Spec['labels'][number]>;

/** One instrument for each entry of the catalogue, under the same key. */
export type Metrics = { [Key in keyof typeof CATALOGUE]: Instrument<(typeof CATALOGUE)[Key]> } & {
  registry: Registry;
};

/** Makes all metrics, and Node's own (event-loop delay, memory, garbage collection). */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const instruments = Object.entries(CATALOGUE).map(([key, spec]) => [key, instrumentOf(spec, registry)]);
  return { ...(Object.fromEntries(instruments) as Metrics), registry };
}

function instrumentOf({ name, kind, labels, meaning, buckets }: MetricSpec, registry: Registry) {
  const [help = meaning] = meaning.split(/(?<=\.) /);
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  if (kind === 'counter') return new Counter(options);
  if (kind === 'gauge') return new Gauge(options);
  return new Histogram({ ...options, ...(buckets && { buckets: [...buckets] }) });
}
