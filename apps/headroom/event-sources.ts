import { hostname } from 'node:os';
import type { RecordSource, RecordSourceOptions } from '#adapters/record-sources';
import type { Mapping } from '#domain/mapping';
import type { DeclaredRecordSource, EventSources, SampledPool } from '../ingest/index.js';
import type { EventSourceConfig } from './event-sources-config.js';

type RecordSourceConfig = Extract<EventSourceConfig, { kind: 'redis-streams' | 'rabbitmq' }>;
type SampledConfig = Extract<EventSourceConfig, { pools: object }>;

/** The declared sources with their mappings; every name of a mapping is known (the configuration checks it). */
export async function eventSourcesOf(
  sources: Record<string, EventSourceConfig>,
  known: {
    mappings: ReadonlyMap<string, Mapping>;
    passwords: ReadonlyMap<string, string>;
    bucketSOf(pool: string): number;
  },
): Promise<EventSources> {
  const topics: EventSources['topics'][number][] = [];
  const records: DeclaredRecordSource[] = [];
  const sampled: SampledPool[] = [];
  for (const [name, source] of Object.entries(sources)) {
    if ('pools' in source) {
      sampled.push(...(await samplersOf(name, source, known)));
      continue;
    }
    const mapping = source.mapping === undefined ? undefined : known.mappings.get(source.mapping);
    if (source.kind === 'kafka') topics.push({ topic: source.topic, mapping });
    else records.push({ name, mapping, open: await openerOf(source, known.passwords.get(name)) });
  }
  return { topics, records, sampled };
}

/** Loads the clients of other systems only where one is declared. */
async function openerOf(
  source: RecordSourceConfig,
  password: string | undefined,
): Promise<(options: RecordSourceOptions) => RecordSource> {
  const { RabbitMqSource, RedisStreamSource } = await import('#adapters/record-sources');
  const url = withPassword(source.url, password);
  if (source.kind === 'rabbitmq') return (options) => new RabbitMqSource({ ...source, ...options, url });
  // Processes of one machine are different members, and so are those of different ones.
  const consumer = `${hostname()}-${process.pid}`;
  return (options) => new RedisStreamSource({ ...source, ...options, url, consumer });
}

async function samplersOf(
  source: string,
  config: SampledConfig,
  { passwords, bucketSOf }: { passwords: ReadonlyMap<string, string>; bucketSOf(pool: string): number },
): Promise<SampledPool[]> {
  const { PrometheusSampler, RabbitMqDepthSampler, RabbitMqDepths } =
    await import('#adapters/demand-samplers');
  const secret = passwords.get(source);
  if (config.kind === 'prometheus') {
    const address = { url: config.url, token: secret };
    return Object.entries(config.pools).map(([pool, queries]) => {
      const sampler = new PrometheusSampler(address, queries);
      return { source, pool, sampler, delayS: config.delayS ?? bucketSOf(pool) };
    });
  }
  const depths = new RabbitMqDepths(withPassword(config.url, secret));
  return Object.entries(config.pools).map(([pool, { queue }]) => {
    return { source, pool, sampler: new RabbitMqDepthSampler(depths, queue), delayS: 0 };
  });
}

function withPassword(address: string, password: string | undefined): string {
  if (password === undefined) return address;
  const parsed = new URL(address);
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}
