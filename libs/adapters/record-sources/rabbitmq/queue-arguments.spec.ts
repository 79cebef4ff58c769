import { expect, test } from '@jest/globals';
import { queueArgumentsAt } from './queue-arguments.js';

test('brokers that drop what comes back too often are told not to; those before would drop it at once', () => {
  const quorum = { 'x-queue-type': 'quorum' };
  for (const version of ['3.10.8', '3.13.7', 'unknown']) expect(queueArgumentsAt(version)).toEqual(quorum);
  for (const version of ['4.0.5', '4.2.1', '10.0.0'])
    expect(queueArgumentsAt(version)).toEqual({ ...quorum, 'x-delivery-limit': -1 });
});
