/** What was seen or forecast this many buckets ago (and this many seconds, for short ones) says nothing about now. */
const STALE_BUCKETS = 3;
const STALE_S = 15;

/** Age of the end of the newest bucket, seconds, beyond which demand and forecasts are stale. */
export function staleAfterS(bucketS: number): number {
  return Math.max(STALE_BUCKETS * bucketS, STALE_S);
}
