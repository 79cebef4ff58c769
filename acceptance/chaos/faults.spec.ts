import { expect, test } from '@jest/globals';
import { PLACES } from '../separate-processes.js';
import { describeFault, drawFaults, KINDS } from './faults.js';

test('the same seed draws the same faults, another one others', () => {
  expect(drawFaults(7, 100)).toEqual(drawFaults(7, 100));
  expect(drawFaults(8, 100)).not.toEqual(drawFaults(7, 100));
  expect(drawFaults(7, 10)).toEqual(drawFaults(7, 100).slice(0, 10));
});

test('ten faults are of every kind, eighty kill every process', () => {
  const faults = drawFaults(1, 80);
  expect(new Set(faults.slice(0, KINDS.length).map(({ kind }) => kind))).toEqual(new Set(KINDS));
  const killed = faults.filter(({ kind }) => kind === 'kill').map(({ target }) => target);
  expect(new Set(killed)).toEqual(new Set(PLACES));
});

test('a fault is told with all that it was', () => {
  const clock = { kind: 'clock', target: 'ingest-1', durationMs: 4_000, amount: 20 } as const;
  expect(describeFault(clock)).toBe('clock ingest-1 +20 s for 4.0 s');
  expect(describeFault({ ...clock, amount: -20 })).toBe('clock ingest-1 -20 s for 4.0 s');
  expect(describeFault({ kind: 'kafka-restart', target: 'server', durationMs: 0 })).toBe('kafka-restart');
});
