export type { Bucket, BucketCounts, DemandPartial, OffsetRange } from './bucket.js';
export type { Sketch } from './sketch.js';
