import { describe, expect, test } from '@jest/globals';
import { createRandom } from '#domain/simulation';
import { WholeAnswers } from './whole-answers.js';

const answer = (bytes: number, fill = 7) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes);
  return Buffer.concat([length, Buffer.alloc(bytes, fill)]);
};
const joined = (pieces: Buffer[] | undefined) => Buffer.concat(pieces ?? []);

describe('answers of a broker', () => {
  test('are held until they are whole, wherever they were cut', () => {
    const seed = 11;
    const random = createRandom(seed);
    const sizes = Array.from({ length: 300 }, () => Math.floor(random() ** 3 * 400));
    const ends = new Set([0]);
    for (const size of sizes) ends.add(Math.max(...ends) + 4 + size);
    const bytes = Buffer.concat(sizes.map((size, i) => answer(size, i % 256)));
    const answers = new WholeAnswers();
    const handed: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const next = Math.min(bytes.length, at + 1 + Math.floor(random() * 150));
      handed.push(...(answers.take(bytes.subarray(at, next)) ?? []));
      at = next;
      const soFar = handed.reduce((sum, { length }) => sum + length, 0);
      const wholeTo = Math.max(...[...ends].filter((end) => end <= at));
      expect({ seed, soFar }).toEqual({ seed, soFar: wholeTo });
    }
    expect(joined(handed).equals(bytes)).toBe(true);
  });

  test('may be empty, and come one byte after the other', () => {
    const answers = new WholeAnswers();
    const bytes = Buffer.concat([answer(0), answer(2)]);
    const handed = [...bytes].map((byte) => joined(answers.take(Buffer.from([byte]))).length);
    expect(handed).toEqual([0, 0, 0, 4, 0, 0, 0, 0, 0, 6]);
  });

  test('are not what claims to be longer than any of them', () => {
    expect(new WholeAnswers().take(Buffer.from('HTTP/1.1 400 Bad Request'))).toBeUndefined();
  });
});
