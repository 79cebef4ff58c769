import { expect, test } from '@jest/globals';
import { createEpochClock } from './epoch-clock.js';

test('the clock has fractions, and follows the system clock when that is set', () => {
  let wallMs = 1000;
  let monotonicMs = 0.25;
  const clock = createEpochClock(
    () => wallMs,
    () => monotonicMs,
    1000,
  );
  expect(clock()).toBe(1000.25);
  wallMs = 500;
  expect(clock()).toBe(500);
  monotonicMs += 0.5;
  expect(clock()).toBe(500.5);
});

test('it is the time of day', () => {
  expect(Math.abs(createEpochClock()() - Date.now())).toBeLessThan(1000);
});
