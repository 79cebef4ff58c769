import { expect, test } from '@jest/globals';
import { originOf } from './origin.js';

test.each([
  ['127.0.0.1', 'http://127.0.0.1:80'],
  ['localhost', 'http://localhost:80'],
  ['::1', 'http://[::1]:80'],
])('%s → %s', (host, origin) => {
  expect(originOf({ host, port: 80 })).toBe(origin);
});
