export { drawLognormal, type Spread } from './draws.js';
export {
  HPA_DEFAULTS,
  hpaStep,
  type HpaBehaviour,
  type HpaInput,
  type HpaMemory,
  type HpaPolicy,
  type HpaSettings,
} from './hpa.js';
export { createRandom, type Random } from './random.js';
export { simulateLoop, type LoopObservation, type LoopResult, type LoopSettings } from './simulate-loop.js';
export { SimulatedPool, type EndedRequest, type SimulatedPoolSettings } from './simulated-pool.js';
export { syntheticDay } from './synthetic-day.js';
export { Verdicts } from './verdicts.js';
