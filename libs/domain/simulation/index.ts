export { createRandom, type Random } from './random.js';
export { syntheticDay } from './synthetic-day.js';
