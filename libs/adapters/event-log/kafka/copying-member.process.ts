import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema, type KafkaSettingsInput } from './kafka-settings.js';

/** What a test tells a member that runs in a process of its own. */
export interface CopyingOrders {
  settings: KafkaSettingsInput;
  group: string;
  from: string;
  to: string;
  partitions: number;
  /** It reports each batch and commits it when it is told to; otherwise at once. */
  isAsked: boolean;
}

/** What the member reports. */
export type CopyingReport =
  | { what: 'joined'; partitions: number[] }
  | { what: 'batch'; partition: number; records: number }
  | { what: 'commit'; outcome: string }
  | { what: 'failed'; message: string };

const JOIN_AGAIN_MS = 200;

const report = (message: CopyingReport): void => void process.send?.(message);

/** Copies each record of a topic to another, with its place in the key, and commits both in one step. */
async function copy({ settings, group, from, to, partitions, isAsked }: CopyingOrders): Promise<void> {
  const log = await KafkaEventLog.open(kafkaSettingsSchema.parse(settings));
  const topic = { partitions, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics([
    { ...topic, name: from },
    { ...topic, name: to },
  ]);
  const onFailed = ({ message }: Error): void => {
    report({ what: 'failed', message });
    if (!isAsked) setTimeout(join, JOIN_AGAIN_MS);
  };
  const join = (): void => {
    const subscribed = log.subscribe({
      group,
      topics: [from],
      commits: true,
      onAssigned: async (assigned) => {
        report({ what: 'joined', partitions: assigned.map(({ partition }) => partition) });
        return [];
      },
      onBatch: async ({ partition, records }, member) => {
        report({ what: 'batch', partition, records: records.length });
        if (isAsked) await new Promise((resolve) => process.once('message', resolve));
        const copies = records.map(({ offset, value }) => ({ key: `${partition}/${offset}`, value }));
        const next = (records.at(-1)?.offset ?? 0) + 1;
        const outcome = await member.commit({
          outputs: [{ topic: to, records: copies }],
          offsets: [{ topic: from, partition, offset: next }],
        });
        report({ what: 'commit', outcome });
        if (outcome === 'fenced') throw new Error('fenced');
      },
      onFailed,
    });
    subscribed.catch(onFailed);
  };
  join();
}

process.once('message', (orders: CopyingOrders) => {
  copy(orders).catch((error: Error) => report({ what: 'failed', message: error.message }));
});
process.on('disconnect', () => process.exit());
