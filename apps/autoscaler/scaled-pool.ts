/** What the autoscaler must know of a pool. */
export interface ScaledPool {
  bucketS: number;
  seasonsS: readonly number[];
  settleMs: number;
  /** Somebody of ours runs its workers. Otherwise they are taken to be as many as decided, and as this says. */
  hasFleet: boolean;
  worker: { slots: number };
  leadTimeMaxS: number;
}
