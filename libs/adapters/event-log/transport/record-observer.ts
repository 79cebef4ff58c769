/** Learns of records that a consumer left out because they are not what its topic carries. */
export abstract class RecordObserver {
  abstract recordUnreadable(record: { topic: string; partition: number; offset: number }): void;
}
