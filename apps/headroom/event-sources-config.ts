import { z } from 'zod';
import type { EventSources } from '../ingest/index.js';
import type { Mapping } from '#domain/mapping';
import { mappingName } from './mappings/mapping-config.js';

const mapping = mappingName
  .optional()
  .describe('How its records become execution events; without one they are CloudEvents already.');

/** Topics that Headroom itself writes: reading one as somebody else's would never end. */
const OWN_TOPIC = /^(executions|ingest-state|demand|forecasts|decisions|tasks)(\..+)?\.v\d+$/;

const kafka = z
  .strictObject({
    kind: z.literal('kafka'),
    topic: z
      .string()
      .regex(/^[\w.-]{1,249}$/, 'the name of a topic')
      .refine((topic) => !OWN_TOPIC.test(topic), { message: 'a topic that Headroom does not write itself' })
      .describe('A topic of the event log that others write to.'),
    mapping,
  })
  .describe('Each record of the topic counts exactly once.');

/** One entry of `sources`: where execution events come from beside executions.v1 and the API. */
export const eventSourceSchema = z.discriminatedUnion('kind', [kafka]);
export type EventSourceConfig = z.output<typeof eventSourceSchema>;

/** What of a source must be its own: two readers of one thing would be one group, or count it twice. */
export function readPlaces(source: EventSourceConfig): string[] {
  return [`topic ${source.topic}`];
}

/** The declared sources with their mappings; every name of a mapping is known (the configuration checks it). */
export function eventSourcesOf(
  sources: Record<string, EventSourceConfig>,
  mappings: ReadonlyMap<string, Mapping>,
): EventSources {
  const declared = Object.values(sources).map((source) => {
    return { ...source, mapping: source.mapping === undefined ? undefined : mappings.get(source.mapping) };
  });
  return { topics: declared.filter(({ kind }) => kind === 'kafka') };
}
