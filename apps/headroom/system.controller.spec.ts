import { expect, test } from '@jest/globals';
import type { FastifyReply } from 'fastify';
import { SystemController, SystemState, type Readiness } from './system.controller.js';

test('whoever asks for readiness while it is being asked for gets the same answer; the next one a new one', async () => {
  const answers: PromiseWithResolvers<Readiness>[] = [];
  const readiness = () => {
    answers.push(Promise.withResolvers<Readiness>());
    return answers.at(-1)!.promise;
  };
  const state = new SystemState(
    readiness,
    async () => '',
    () => ({}),
  );
  const controller = new SystemController(state);
  const statuses: number[] = [];
  const reply = { status: (code: number) => statuses.push(code) } as unknown as FastifyReply;
  const together = [controller.readyz(reply), controller.readyz(reply)];
  answers[0]!.resolve({ ready: false, problems: ['the log: must answer, did not'] });
  expect(await Promise.all(together)).toEqual(together.map(() => expect.objectContaining({ ready: false })));
  expect([answers.length, statuses]).toEqual([1, [503, 503]]);
  const next = controller.readyz(reply);
  answers[1]!.resolve({ ready: true, problems: [] });
  expect(await next).toEqual({ ready: true, problems: [] });
  expect(statuses).toHaveLength(2);
});
