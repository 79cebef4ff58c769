import { setImmediate as nextTurn } from 'node:timers/promises';
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

/**
 * What metrics say of pools that are gone is told no more: pools come and go, and each label value takes room for good. All
 * that go within one turn of the event loop go in one pass: a metric has a value for every pool, and thousands may go at
 * once.
 */
export class ForgottenPools {
  private going = new Set<string>();
  private passing: Promise<void> | undefined;

  constructor(private readonly metrics: readonly ByPool[]) {}

  /** Resolves when the pool is forgotten. One that is told of again meanwhile is told of from anew. */
  forget(pool: string): Promise<void> {
    this.going.add(pool);
    this.passing ??= this.pass();
    return this.passing;
  }

  private async pass(): Promise<void> {
    await nextTurn();
    const going = this.going;
    [this.going, this.passing] = [new Set(), undefined];
    for (const metric of this.metrics) {
      const { values } = await metric.get();
      for (const { labels } of values) if (going.has(String(labels['pool']))) metric.remove(labels);
    }
  }
}

interface ByPool {
  get(): Promise<{ values: { labels: Partial<Record<string, string | number>> }[] }>;
  remove(labels: Partial<Record<string, string | number>>): void;
}
