export type { Fleet, FleetMember, FleetObservation, Membership } from './fleet.js';
