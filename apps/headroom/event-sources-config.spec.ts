import { expect, test } from '@jest/globals';
import { TOPICS } from '#adapters/event-log';
import { parseConfig } from './config-file.js';
import { eventSourcesOf } from './event-sources-config.js';
import { knownMappings } from './mappings/known-mappings.js';

function problems(sources: object): string[] {
  const parsed = parseConfig(JSON.stringify({ sources }));
  return parsed.ok ? [] : parsed.problems.map(({ where, rule }) => `${where}: ${rule}`);
}
const kafka = (topic: string, more: object = {}) => ({ kind: 'kafka', topic, ...more });

test('each topic becomes one source with its mapping', async () => {
  const sources = { a: kafka('jobs', { mapping: 'n8n' }), b: kafka('events') };
  const parsed = parseConfig(JSON.stringify({ sources }));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const mappings = await knownMappings(parsed.config.mappings);
  expect(eventSourcesOf(parsed.config.sources, mappings).topics).toMatchObject([
    { topic: 'jobs', mapping: { name: 'n8n' } },
    { topic: 'events', mapping: undefined },
  ]);
});

test('the topics that Headroom writes are no sources', () => {
  for (const topic of [...Object.values(TOPICS), 'tasks.web.v1'])
    expect(problems({ own: kafka(topic) })).toEqual([
      'sources.own.topic: must hold: a topic that Headroom does not write itself',
    ]);
  expect(problems({ fine: kafka('executions.of.somebody') })).toEqual([]);
});

test('unknown mappings, kinds and topics, and one topic for two, are refused', () => {
  expect(problems({ a: kafka('jobs', { mapping: 'jobz' }) })).toEqual([
    'sources.a.mapping: must hold: a known mapping',
  ]);
  expect(problems({ a: kafka('jobs'), b: kafka('jobs') })).toEqual([
    'sources.b: must hold: a source of its own: topic jobs is read by another one',
  ]);
  expect(problems({ a: kafka('a b') })).toEqual(['sources.a.topic: must hold: the name of a topic']);
  expect(problems({ a: { kind: 'pigeon' } })).toHaveLength(1);
});
