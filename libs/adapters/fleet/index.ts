export type { Fleet, FleetMember, FleetObservation, Membership } from './fleet.js';
export {
  EXECUTION_HEADERS,
  READY_PATH,
  workerStartSchema,
  type FromWorker,
  type ToWorker,
  type WorkerStart,
} from './worker-protocol.js';
