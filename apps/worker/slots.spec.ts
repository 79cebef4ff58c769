import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { Slots, type Ticket } from './slots.js';

test('never more than the slots run, never more than the limit wait, and who came first runs first', async () => {
  const operations = fc.array(fc.oneof(fc.constant('enter' as const), fc.nat(30)), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.nat(4),
      operations,
      async (slots, queueLimit, steps) => {
        const subject = new Slots({ slots, queueLimit });
        const inside: { ticket: Ticket; id: number }[] = [];
        const running = new Set<number>();
        const refusals: { refused: boolean; full: boolean }[] = [];
      let entered = 0;
        for (const step of steps) {
          if (step === 'enter') {
  XXticket === undefined).toBe(inside.length === slots + queueLimit);
            if (ticket === undefined) continue;
            const id = (entered += 1);
            inside.push({ ticket, id });
            void ticket.turn.then(() => running.add(id));
          } else if (inside.length > 0) {
            const [gone] = inside.splice(step % inside.length, 1);
            gone!.ticket.leave();
            gone!.ticket.leave();
            running.delete(gone!.id);
          }
          await Promise.resolve();
          expect(subject.occupied).toBe(inside.length);
          expect([...running].sort((a, b) => a - b)).toEqual(inside.slice(0, slots).map(({ id }) => id));
        }
        expect(refusals.filter(({ refused, full }) => refused !== full)).toEqual([]);
      },
    ),
  );
});
