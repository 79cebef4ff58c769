import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { Slots, type Ticket } from './slots.js';

interface Observed {
  refused: boolean;
  occupied: number;
  running: number[];
}

test('never more than the slots run, never more than the limit wait, and who came first runs first', async () => {
  const steps = fc.array(fc.oneof(fc.constant('enter' as const), fc.nat(30)), { maxLength: 60 });
  const bounds = fc.record({ slots: fc.integer({ min: 1, max: 4 }), queueLimit: fc.nat(4) });
  await fc.assert(
    fc.asyncProperty(bounds, steps, async (given, operations) => {
      const subject = new Slots(given);
      const inside: { ticket: Ticket; id: number }[] = [];
      const running = new Set<number>();
      const observed: Observed[] = [];
      const expected: Observed[] = [];
      let entered = 0;
      for (const step of operations) {
        const full = inside.length === given.slots + given.queueLimit;
        let refused = false;
        if (step === 'enter') {
          const ticket = subject.enter();
          refused = ticket === undefined;
          const id = (entered += 1);
          if (ticket !== undefined) inside.push({ ticket, id });
          void ticket?.turn.then(() => running.add(id));
        } else {
          const [gone] = inside.splice(step % Math.max(1, inside.length), 1);
          gone?.ticket.leave();
          gone?.ticket.leave();
          running.delete(gone?.id ?? 0);
        }
        await Promise.resolve();
        const rising = [...running].sort((a, b) => a - b);
        observed.push({ refused, occupied: subject.occupied, running: rising });
        const first = inside.slice(0, given.slots).map(({ id }) => id);
        expected.push({ refused: step === 'enter' && full, occupied: inside.length, running: first });
      }
      expect(observed).toEqual(expected);
    }),
  );
});
