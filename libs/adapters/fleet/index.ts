export {
  FleetClosed,
  UnknownPool,
  type Fleet,
  type FleetMember,
  type FleetObservation,
  type FleetObserver,
  type Membership,
} from './fleet.js';
export { LocalProcessFleet } from './local-processes/local-process-fleet.js';
export { changesQuery, membershipChanges, observedPools, orderBody } from './remote/fleet-messages.js';
export { RemoteFleet, type RemoteFleetObserver, type RemoteFleetOptions } from './remote/remote-fleet.js';
export { MAX_FOLLOWERS, ServedFleet } from './remote/served-fleet.js';
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
