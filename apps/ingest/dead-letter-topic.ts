import { inTime, TOPICS, type EventLog, type ReadFrom, type StoredRecord } from '#adapters/event-log';
import { letterOf, type StoredLetter } from './dead-letter.js';

/** Letters that are looked at for one page; it ends there, however few of them match. */
export const MAX_SCANNED_LETTERS = 2_000;
/** A page that takes longer ends where it is, so that a slow log makes pages short and not late. */
const SCAN_WITHIN_MS = 10_000;
/** Offsets of one read: as many letters are in memory at once, besides those that match. */
const READ_OFFSETS = 50;
/** The log says by then what it has, or the read has failed. */
const READ_WITHIN_MS = 5_000;

export interface LetterPlace {
  partition: number;
  offset: number;
}

/** All that is given must hold. */
export interface LetterFilter {
  reason?: string | undefined;
  /** How the source of a letter begins, up to a whole word: a topic, or `POST /v1/events`. */
  source?: string | undefined;
  /** Written in [from, to), epoch ms. */
  fromMs?: number | undefined;
  toMs?: number | undefined;
}

export interface LetterPage {
  /** Newest first. */
  letters: StoredLetter[];
  /** The next page has what lies before; undefined at the end. */
  next: LetterPlace | undefined;
}

/** Reads `executions.dlq.v1` without a group, newest letters first: what is written meanwhile is on no later page. */
export class DeadLetterTopic {
  constructor(
    private readonly log: EventLog,
    private readonly options: { readWithinMs: number } = { readWithinMs: READ_WITHIN_MS },
  ) {}

  /**
   * At most `limit` letters. Fewer, even none, do not say that it is the last page: `next` does. Rejects when the log does
   * not answer in time.
   */
  async page(wanted: {
    filter: LetterFilter;
    limit: number;
    before?: LetterPlace | undefined;
  }): Promise<LetterPage> {
    const { filter, limit, before } = wanted;
    const letters: StoredLetter[] = [];
    const deadlineMs = performance.now() + SCAN_WITHIN_MS;
    let scanned = 0;
    for await (const piece of this.pieces(filter, before)) {
      for (const letter of piece.letters.filter((one) => matches(one, filter)).toReversed()) {
        letters.push(letter);
        if (letters.length === limit) return { letters, next: placeOf(letter) };
      }
      scanned += READ_OFFSETS;
      if (scanned >= MAX_SCANNED_LETTERS || performance.now() > deadlineMs)
        return { letters, next: piece.from };
    }
    return { letters, next: undefined };
  }

  /** The letter of a place; undefined when there is none. Rejects when the log does not answer in time. */
  async at({ partition, offset }: LetterPlace): Promise<StoredLetter | undefined> {
    if (partition >= this.log.partitions(TOPICS.deadLetters)) return undefined;
    const [record] = await this.read({ partition, offset, maxRecords: 1 });
    return record?.offset === offset ? letterOf(partition, record) : undefined;
  }

  /** One partition after the other, each from its end to its beginning. */
  private async *pieces(
    filter: LetterFilter,
    before: LetterPlace | undefined,
  ): AsyncGenerator<{ letters: StoredLetter[]; from: LetterPlace }> {
    const partitions = this.log.partitions(TOPICS.deadLetters);
    for (let partition = before?.partition ?? 0; partition < partitions; partition++) {
      const { start, end } = await this.span(partition, filter);
      let to = partition === before?.partition ? Math.min(end, before.offset) : end;
      while (to > start) {
        const offset = Math.max(start, to - READ_OFFSETS);
        yield { letters: await this.between(partition, offset, to), from: { partition, offset } };
        to = offset;
      }
    }
  }

  /** Offsets of what the partition holds of the filter's time. */
  private async span(partition: number, { fromMs = 0, toMs }: LetterFilter) {
    const at = { topic: TOPICS.deadLetters, partition };
    const offsetAt = (timeMs: number) => this.log.offsetAtTime({ ...at, timeMs: Math.max(0, timeMs) });
    const [start, end] = await this.inReadTime(
      Promise.all([offsetAt(fromMs), toMs === undefined ? this.log.endOffset(at) : offsetAt(toMs)]),
    );
    return { start, end };
  }

  /** What a partition holds of [from, to), in order; a read may give less than it was asked for. */
  private async between(partition: number, from: number, to: number): Promise<StoredLetter[]> {
    const letters: StoredLetter[] = [];
    let offset = from;
    while (offset < to) {
      const records = await this.read({ partition, offset, maxRecords: to - offset });
      const last = records.at(-1);
      if (last === undefined) break;
      letters.push(
        ...records.filter((record) => record.offset < to).map((record) => letterOf(partition, record)),
      );
      offset = last.offset + 1;
    }
    return letters;
  }

  private read(from: Omit<ReadFrom, 'topic'>): Promise<StoredRecord[]> {
    return this.inReadTime(this.log.read({ topic: TOPICS.deadLetters, ...from }));
  }

  private inReadTime<T>(answer: Promise<T>): Promise<T> {
    const { readWithinMs } = this.options;
    return inTime(
      answer,
      readWithinMs,
      () => new Error(`event log: must answer within ${readWithinMs} ms, did not`),
    );
  }
}

export function placeOf({ partition, offset }: LetterPlace): LetterPlace {
  return { partition, offset };
}

function matches(
  letter: StoredLetter,
  { reason, source, fromMs = 0, toMs = Infinity }: LetterFilter,
): boolean {
  return (
    (reason === undefined || letter.reason === reason) &&
    (source === undefined || isFrom(letter, source)) &&
    letter.atMs >= fromMs &&
    letter.atMs < toMs
  );
}

/** `executions.v1` of `executions.v1[2]@17`, `redis jobs` of `redis jobs 1526919030474-0`. */
function isFrom({ source }: StoredLetter, beginning: string): boolean {
  return source.startsWith(beginning) && /^$|^[[ ]/.test(source.slice(beginning.length));
}
