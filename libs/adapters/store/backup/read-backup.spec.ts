import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { MIGRATIONS } from '../data-source.js';
import { BackupRefused } from './backup-format.js';
import { readBackup, type BackupPart } from './read-backup.js';

const header = {
  headroom: 'backup',
  format: 1,
  schema: MIGRATIONS.at(-1)?.name,
  takenAtMs: 1,
  log: false,
};
const rows = Array.from({ length: 300 }, (_, i) => JSON.stringify({ pool: `pool-${i}`, policy: { é: i } }));

function textOf(given: { header?: object; rows?: string[]; end?: object } = {}): string {
  const lines = [
    JSON.stringify(given.header ?? header),
    '{"table":"policies","columns":["pool","policy"]}',
    ...(given.rows ?? rows),
  ];
  const before = lines.map((line) => `${line}\n`).join('');
  const sha256 = createHash('sha256').update(before).digest('hex');
  const end = given.end ?? { rows: { policies: rows.length }, sha256 };
  return `${before}${JSON.stringify({ end })}\n`;
}

async function read(file: Buffer): Promise<BackupPart[]> {
  const parts: BackupPart[] = [];
  // In pieces that end in the middle of a character, too.
  const pieces = Array.from({ length: Math.ceil(file.length / 7) }, (_, i) =>
    file.subarray(7 * i, 7 * i + 7),
  );
  for await (const part of readBackup(Readable.from(pieces))) parts.push(part);
  return parts;
}
const refusal = (file: Buffer): Promise<unknown> =>
  read(file).then(
    () => 'read',
    (error: unknown) => (error instanceof BackupRefused ? error.reason : error),
  );

test('what was written is read, part by part', async () => {
  const parts = await read(gzipSync(textOf()));
  expect(parts.map(({ kind }) => kind)).toEqual(['header', 'table', ...rows.map(() => 'row'), 'end']);
  expect(parts.at(-1)).toEqual({ kind: 'end', rows: { policies: rows.length } });
  expect(parts.flatMap((part) => (part.kind === 'row' ? [part.text] : []))).toEqual(rows);
});

test('a file that is cut anywhere is no backup', async () => {
  const whole = gzipSync(textOf());
  for (let length = 0; length < whole.length; length += 101)
    expect(['damaged', 'foreign']).toContain(await refusal(whole.subarray(0, length)));
  // Cut before it was compressed: gzip itself finds nothing wrong.
  const text = textOf();
  const lines = text.split('\n');
  expect(await refusal(gzipSync(lines.slice(0, -2).join('\n') + '\n'))).toBe('damaged');
  expect(await refusal(gzipSync(`${lines.slice(0, 5).join('\n')}\n`))).toBe('damaged');
});

test('a file with another bit anywhere is no backup', async () => {
  const whole = gzipSync(textOf());
  const outcomes = new Set<unknown>();
  // Bits of gzip's own header (its time and system) mean nothing. Behind our last line, which has a checksum of all that
  // is before it, nothing is read.
  for (let at = 10; at < whole.length - 10; at += 37) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] as number) ^ 0x10;
    outcomes.add(await refusal(changed));
  }
  expect(
    [...outcomes].filter((outcome) => !['damaged', 'foreign', 'newer'].includes(outcome as string)),
  ).toEqual([]);
});

test('rows that were changed, added or left out before it was compressed are found', async () => {
  const end = JSON.parse(textOf().trimEnd().split('\n').at(-1) as string) as { end: object };
  for (const changed of [rows.slice(1), [...rows, rows[0] as string], [...rows].reverse()])
    expect(await refusal(gzipSync(textOf({ rows: changed, ...end })))).toBe('damaged');
});

test('what is newer or something else is refused by its header', async () => {
  expect(await refusal(gzipSync(textOf({ header: { ...header, format: 2 } })))).toBe('newer');
  expect(await refusal(gzipSync(textOf({ header: { ...header, schema: 'Tomorrow' } })))).toBe('newer');
  expect(await refusal(gzipSync('{"some":"json"}\n'))).toBe('foreign');
  expect(await refusal(gzipSync(''))).toBe('damaged');
  expect(await refusal(Buffer.from('no gzip at all'))).toBe('foreign');
});

test('a table that is not one, and rows without a table, are refused', async () => {
  const text = textOf().replace('"policies","columns"', '"policies; drop table x","columns"');
  expect(await refusal(gzipSync(text))).toBe('damaged');
  expect(await refusal(gzipSync(`${JSON.stringify(header)}\n{"pool":1}\n`))).toBe('damaged');
});
