export { waitProbability } from './erlang.js';
export { serviceModel, type ServiceModel } from './service-model.js';
export {
  capacityCurve,
  loadOf,
  MAX_SIZED_WORKERS,
  violatingShare,
  workersFor,
  type Sizing,
} from './sizing.js';
