export type { Fleet, FleetMember, FleetObservation, FleetObserver, Membership } from './fleet.js';
export {
  LocalProcessFleet,
  MAX_LOCAL_WORKERS,
  type LocalPoolSettings,
  type LocalProcessFleetOptions,
} from './local-processes/local-process-fleet.js';
export { SimulatedFleet, type SimulatedPoolSettings } from './simulated/simulated-fleet.js';
export {
  eventIdOf,
  EXECUTION_HEADERS,
  MAX_BODY_BYTES,
  MAX_EXECUTION_ID_CHARS,
  OWN_PATH,
  READY_PATH,
  REPLY_HEADERS,
  type FromWorker,
  type ToWorker,
  type WorkerStart,
} from './worker-protocol.js';
