export { createEpochClock } from './epoch-clock.js';
