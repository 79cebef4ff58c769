import type { EventLog, NewRecord } from './event-log.js';

/** Of one append, about; a log refuses what is more than may wait in all. */
const PIECE_BYTES = 1024 * 1024;

/** Appends records in order, a piece when the one before it is durable: for whoever makes many at once. */
export async function appendInPieces(
  log: Pick<EventLog, 'append'>,
  topic: string,
  records: readonly NewRecord[],
): Promise<void> {
  let [piece, bytes]: [NewRecord[], number] = [[], 0];
  for (const record of records) {
    piece.push(record);
    bytes += Buffer.byteLength(record.key) + Buffer.byteLength(record.value ?? '');
    if (bytes < PIECE_BYTES) continue;
    await log.append(topic, piece);
    [piece, bytes] = [[], 0];
  }
  if (piece.length > 0) await log.append(topic, piece);
}
