import { expect, test } from '@jest/globals';
import { LimitedNotes } from './limited-notes.js';

test('twenty notes in ten seconds; the next window says how many were left out', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const notes = new LimitedNotes(
    ({ msg }) => lines.push(msg),
    () => nowMs,
  );
  for (let n = 0; n < 25; n += 1) notes.note({ msg: `line ${n}` });
  expect(lines).toHaveLength(20);
  nowMs = 10_000;
  notes.note({ msg: 'later' });
  expect(lines.slice(20)).toEqual(['5 more notes were left out', 'later']);
});
