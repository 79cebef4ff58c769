import { describe, expect, test } from '@jest/globals';
import { configSchema } from './config.js';
import { parseTargets, TARGET_NAMES } from './targets.js';

const pools = { web: { worker: { handlers: '/handlers' } } };
const local = configSchema.parse({ pools });
const remote = configSchema.parse({ pools, fleet: { kind: 'remote', url: 'http://127.0.0.1:9' } });

describe('parseTargets', () => {
  test('all is everything, in the order of the table', () => {
    expect(parseTargets('all', local)).toEqual({ ok: true, targets: [...TARGET_NAMES] });
    expect(parseTargets('router, fleet,ingest', local)).toEqual({
      ok: true,
      targets: ['ingest', 'fleet', 'router'],
    });
  });

  test('a fleet of another process is not of this one', () => {
    const all = parseTargets('all', remote);
    expect(all).toEqual({ ok: true, targets: TARGET_NAMES.filter((name) => name !== 'fleet') });
    expect(parseTargets('fleet', remote)).toEqual({
      ok: false,
      problem: '--target: fleet must host local workers, got fleet.kind remote',
    });
  });

  test.each(['autoscaler', 'router', 'sources,ingest'])('%s without a fleet is refused', (text) => {
    expect(parseTargets(text, local)).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/must come with fleet, or fleet\.kind be remote, got neither$/),
    });
    expect(parseTargets(text, remote)).toMatchObject({ ok: true });
    expect(parseTargets(text, configSchema.parse({ pools: { web: {} } }))).toMatchObject({ ok: true });
  });

  test.each(['', 'rooter', 'all,rooter'])('%j is refused with the list', (text) => {
    expect(parseTargets(text, local)).toMatchObject({
      ok: false,
      problem: expect.stringContaining(TARGET_NAMES.join(', ')),
    });
  });
});
