export { PoolQueue, type Admission, type Handout, type QueueWorker, type Waiting } from './pool-queue.js';
export type { Place } from './waiting-line.js';
