/** What the autoscaler must know of a pool. */
export interface ScaledPool {
  bucketS: number;
  seasonsS: readonly number[];
  settleMs: number;
  /** Somebody of ours runs its workers. Otherwise they are taken to be as many as decided, and as this says. */
  hasFleet: boolean;
  worker: { slots: number };
  leadTimeMaxS: number;
  /** Partitions of the sources that measure it: beyond what they have told it is not known. */
  sampledBy?: readonly number[];
  /** Those of them that tell no arrivals. */
  levelsBy?: readonly number[];
}
