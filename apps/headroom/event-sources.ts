import { hostname } from 'node:os';
import type { RecordSource, RecordSourceOptions } from '#adapters/record-sources';
import type { Mapping } from '#domain/mapping';
import type { DeclaredRecordSource, EventSources } from '../ingest/index.js';
import type { EventSourceConfig } from './event-sources-config.js';

type RecordSourceConfig = Exclude<EventSourceConfig, { kind: 'kafka' }>;

/** The declared sources with their mappings; every name of a mapping is known (the configuration checks it). */
export async function eventSourcesOf(
  sources: Record<string, EventSourceConfig>,
  known: { mappings: ReadonlyMap<string, Mapping>; passwords: ReadonlyMap<string, string> },
): Promise<EventSources> {
  const topics: EventSources['topics'][number][] = [];
  const records: DeclaredRecordSource[] = [];
  for (const [name, source] of Object.entries(sources)) {
    const mapping = source.mapping === undefined ? undefined : known.mappings.get(source.mapping);
    if (source.kind === 'kafka') topics.push({ topic: source.topic, mapping });
    else records.push({ name, mapping, open: await openerOf(source, known.passwords.get(name)) });
  }
  return { topics, records };
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

function withPassword(address: string, password: string | undefined): string {
  if (password === undefined) return address;
  const parsed = new URL(address);
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}
