/** One set-up of the bench. */
export interface Cell {
  /**
   * `durable`: as Headroom ships. `unsynced`: the engine as it ships, without the hook that syncs commits.
   * `one-by-one`: durable, and one record per transaction: what group commit saves.
   */
  engine: 'durable' | 'unsynced' | 'one-by-one';
  partitions: number;
  /** Records per second that are offered; undefined = as many as it takes. */
  ratePerS: number | undefined;
}

export interface CellRun {
  appendedPerS: number;
  /** Records whose output and offset were committed within the measured time, per second. */
  consumedPerS: number;
  ackMsP50: number;
  ackMsP99: number;
  /** Records that were not committed when the load ended, and how long they took. */
  lagRecords: number;
  lagClearedMs: number;
  /** Largest resident size of the process: engine, log, load and consumer. */
  rssMb: number;
  /** Main thread, longer than the timer's own millisecond. */
  loopDelayMsP99: number;
  /** All threads. */
  cpuUsPerRecord: number;
}
