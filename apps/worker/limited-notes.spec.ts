import { expect, test } from '@jest/globals';
import { LimitedNotes } from './limited-notes.js';

test('twenty lines in ten seconds; the next window says how many were left out', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const notes = new LimitedNotes(
    (line) => lines.push(line),
    () => nowMs,
  );
  for (let n = 0; n < 25; n += 1) notes.note(`line ${n}`);
  expect(lines).toHaveLength(20);
  nowMs = 10_000;
  notes.note('later');
  expect(lines.slice(20)).toEqual(['5 more lines were left out', 'later']);
});
