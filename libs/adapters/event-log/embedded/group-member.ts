import { setTimeout as delay } from 'node:timers/promises';
import type {
  AtomicStep,
  Member,
  Position,
  StartOffset,
  Subscription,
  TopicPartition,
} from '../event-log.js';
import { byNumber } from '../assignment.js';
import { inTime, Patience } from '../in-time.js';
import { BatchHung, DoesNotCommit } from '../member-errors.js';
import type { GroupCommit, OffsetCommit, Write } from './group-commit.js';
import { toTopicPartition, type Partition } from './partition.js';

const DEFAULT_BATCH_RECORDS = 1_000;

export interface GroupOptions {
  /** How long a reader at the end waits after news before it fetches: larger batches, fewer transactions. */
  fetchLingerMs: number;
  /** A batch, a revocation or a piece of an assignment that takes longer has hung: the member is expelled and fenced. */
  maxBatchMs: number;
  /** First offset of the partition whose record was appended at or after a time, else its end. */
  offsetAt: (partition: Partition, timeMs: number) => Promise<number>;
  writesOf: (outputs: AtomicStep['outputs']) => Write[];
}

/** What a member may ask of its group. */
interface Place {
  group: string;
  partition(at: TopicPartition): Partition | undefined;
  owns(partition: Partition): boolean;
  committed: Map<Partition, number>;
  left(): Promise<void>;
}

interface Reading {
  /** Next offset to be handled. */
  position: number;
  stop: AbortController;
  done: Promise<void>;
}

/** One reader of a consumer group: a loop for each partition it owns. */
export class GroupMember implements Member {
  private readonly reading = new Map<Partition, Reading>();
  /** It was told that it has them, and not yet that it has lost them. */
  private readonly held = new Set<Partition>();
  /** It takes no more partitions; the batches at hand may still commit. */
  private leaving: Promise<void> | undefined;
  private failing: Promise<void> | undefined;
  /** The latest start: there is one at a time. */
  private starting: Promise<void> | undefined;
  private gone = false;
  private readonly patience: Patience;

  constructor(
    readonly subscription: Subscription,
    private readonly groupCommit: GroupCommit,
    private readonly options: GroupOptions,
    private readonly place: Place,
  ) {
    this.patience = new Patience(options.maxBatchMs);
  }

  progressed(): void {
    this.patience.renew();
  }

  assignment(): TopicPartition[] {
    return [...this.reading.keys()].map(toTopicPartition);
  }

  positions(): Position[] {
    return [...this.reading].map(([partition, { position: offset }]) => ({
      ...toTopicPartition(partition),
      offset,
      endOffset: partition.end,
    }));
  }

  async commit({ outputs, offsets }: AtomicStep): Promise<'committed' | 'fenced'> {
    if (this.subscription.commits !== true) throw new DoesNotCommit(this.place.group);
    const commits = offsets.map((offset) => this.offsetCommit(offset));
    const stillOwner = () => !this.gone && commits.every(({ partition }) => this.place.owns(partition));
    return this.groupCommit.commit({ writes: this.options.writesOf(outputs), offsets: commits, stillOwner });
  }

  leave(): Promise<void> {
    this.leaving ??= this.finish();
    return this.leaving;
  }

  private async finish(): Promise<void> {
    // What it is being given it hands on as well, and says so.
    await this.starting;
    await this.stop([...this.reading.keys()]);
    if (this.gone) return;
    this.gone = true;
    await this.place.left();
  }

  /** Reads the partitions from where the member's own offsets, or the committed ones, say. */
  start(partitions: Partition[]): Promise<void> {
    this.starting = this.begin(partitions);
    return this.starting;
  }

  private async begin(partitions: Partition[]): Promise<void> {
    const numbered = partitions.map((partition) => ({ ...toTopicPartition(partition), own: partition }));
    try {
      for (const same of byNumber(numbered)) {
        if (this.takesNoMore()) return;
        await this.beginWith(same.map(({ own }) => own));
      }
    } catch (error) {
      this.expel(error as Error);
    }
  }

  /** What has one number: read as soon as it is restored. */
  private async beginWith(partitions: Partition[]): Promise<void> {
    for (const partition of partitions) this.held.add(partition);
    const { onAssigned } = this.subscription;
    const assigned = onAssigned?.(partitions.map(toTopicPartition), this) ?? Promise.resolve([]);
    const own = await this.patience.wait(assigned, () => this.hung('onAssigned'));
    const starts = await this.startsOf(partitions, own);
    // It left while it was restoring them: nobody else has got them yet, and its state of them is of no use.
    if (this.takesNoMore()) return this.stop(partitions);
    for (const partition of partitions) {
      const stop = new AbortController();
      const position = starts.get(partition) as number;
      const reading: Reading = { position, stop, done: Promise.resolve() };
      this.reading.set(partition, reading);
      reading.done = this.read(partition, reading);
    }
  }

  private async startsOf(partitions: Partition[], own: StartOffset[]): Promise<Map<Partition, number>> {
    const starts = new Map<Partition, number>();
    for (const partition of partitions) {
      const { topic, partition: index } = toTopicPartition(partition);
      const said = own.find((offset) => offset.topic === topic && offset.partition === index)?.offset;
      const committed = this.place.committed.get(partition);
      starts.set(partition, said ?? committed ?? (await this.beginning(partition)));
    }
    return starts;
  }

  private async beginning(partition: Partition): Promise<number> {
    const { newFromMs, commits } = this.subscription;
    if (newFromMs === undefined) return 0;
    const offset = await this.options.offsetAt(partition, newFromMs);
    const offsets = [{ ...toTopicPartition(partition), offset }];
    if (commits === true) await this.commit({ outputs: [], offsets });
    return offset;
  }

  private takesNoMore(): boolean {
    return this.leaving !== undefined || this.gone;
  }

  /** Lets the batches at hand finish, then says that the partitions are lost. */
  async stop(partitions: Partition[]): Promise<void> {
    const readings = partitions
      .map((partition) => this.reading.get(partition))
      .filter((reading) => reading !== undefined);
    for (const { stop } of readings) stop.abort();
    try {
      await this.inTime(Promise.all(readings.map(({ done }) => done)), 'the batch at hand');
      const lost = partitions.filter((partition) => this.held.delete(partition));
      if (!this.gone) await this.inTime(this.revoked(lost), 'onRevoked');
    } catch (error) {
      this.expel(error as Error);
    }
    await this.failing;
    for (const partition of partitions) this.reading.delete(partition);
  }

  private async read(partition: Partition, reading: Reading): Promise<void> {
    const stop = reading.stop.signal;
    try {
      while (!stop.aborted) {
        const { position } = reading;
        const records = await partition.read(
          position,
          this.subscription.maxBatchRecords ?? DEFAULT_BATCH_RECORDS,
        );
        if (stop.aborted) return;
        const last = records.at(-1);
        if (last === undefined) {
          await partition.changed(stop);
          if (!stop.aborted)
            await delay(this.options.fetchLingerMs, undefined, { signal: stop }).catch(() => undefined);
          continue;
        }
        const batch = { ...toTopicPartition(partition), from: position, records, endOffset: partition.end };
        await this.inTime(this.subscription.onBatch(batch, this), `onBatch of ${partition.topic.name}`);
        reading.position = last.offset + 1;
      }
    } catch (error) {
      this.expel(error as Error);
    }
  }

  private async revoked(partitions: Partition[]): Promise<void> {
    if (partitions.length > 0) await this.subscription.onRevoked?.(partitions.map(toTopicPartition));
  }

  private expel(error: Error): void {
    if (this.gone) return;
    this.gone = true;
    this.failing = this.fail(error);
  }

  /** Batches of other partitions end, fenced, before anybody else begins with them; one that hung may go on. */
  private async fail(because: Error): Promise<void> {
    const readings = [...this.reading.values()];
    for (const { stop } of readings) stop.abort();
    await Promise.all(readings.map(({ done }) => done));
    this.reading.clear();
    void this.place.left();
    this.subscription.onFailed?.(because);
  }

  private offsetCommit({ topic, partition: index, offset }: StartOffset): OffsetCommit {
    const partition = this.place.partition({ topic, partition: index });
    if (partition === undefined)
      throw new Error(`event log commit: a known partition, got ${topic}[${index}]`);
    const apply = () => void this.place.committed.set(partition, offset);
    return { group: this.place.group, partition, offset, apply };
  }

  private inTime<T>(work: Promise<T>, what: string): Promise<T> {
    return inTime(work, this.options.maxBatchMs, () => this.hung(what));
  }

  private hung(what: string): BatchHung {
    const { maxBatchMs } = this.options;
    return new BatchHung({ group: this.place.group, what, maxBatchMs });
  }
}
