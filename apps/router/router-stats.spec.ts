import { expect, test } from '@jest/globals';
import { tellAll, type RouterObserver } from './router-observer.js';
import { RouterStats } from './router-stats.js';

test('the last seconds of a pool: what falls out of the window is forgotten', () => {
  let nowMs = 1_000_000;
  const stats = new RouterStats(() => nowMs, 3);
  const end = (responseMs: number, outcome: 'answered' | 'rejected' = 'answered') =>
    stats.requestEnded({ pool: 'web', outcome, status: 200, responseMs, waitMs: 0 });
  expect(stats.recent('web')).toEqual({ arrivals: 0, ends: 0, failures: 0, responseMsP95: undefined });

  stats.arrived('web');
  for (let i = 0; i < 100; i++) end(1000);
  nowMs += 2000;
  stats.arrived('web');
  stats.arrived('web');
  for (let i = 1; i <= 100; i++) end(i);
  end(0, 'rejected');
  expect(stats.recent('web')).toMatchObject({ arrivals: 3, ends: 201, failures: 1 });

  nowMs += 1000; // the first second is three seconds old
  const { responseMsP95, ...counts } = stats.recent('web');
  expect(counts).toEqual({ arrivals: 2, ends: 101, failures: 1 });
  expect(Math.abs((responseMsP95 as number) - 95)).toBeLessThan(2);

  nowMs += 60_000;
  stats.arrived('web'); // takes the place of an old second
  expect(stats.recent('web')).toEqual({ arrivals: 1, ends: 0, failures: 0, responseMsP95: undefined });
});

test('several observers are told everything', () => {
  const told: string[] = [];
  const observer = (name: string): RouterObserver => ({
    arrived: (pool) => told.push(`${name} arrived ${pool}`),
    requestEnded: ({ outcome }) => told.push(`${name} ${outcome}`),
    retried: (pool) => told.push(`${name} retried ${pool}`),
    unroutable: (reason) => told.push(`${name} ${reason}`),
    listenerFailed: ({ message }) => told.push(`${name} ${message}`),
  });
  const all = tellAll([observer('a'), new RouterStats(() => 0), observer('b')]);
  all.arrived('web');
  all.requestEnded({ pool: 'web', outcome: 'deadline', status: 504, responseMs: 1, waitMs: undefined });
  all.retried('web');
  all.unroutable('upgrade');
  all.listenerFailed(new Error('EMFILE'));
  const news = ['arrived web', 'deadline', 'retried web', 'upgrade', 'EMFILE'];
  expect(told).toEqual(news.flatMap((one) => [`a ${one}`, `b ${one}`]));
});
