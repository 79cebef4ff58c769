export { waitProbability } from './erlang.js';
export { serviceModel, UNREACHABLE_WAIT_RATIO, type ServiceModel } from './service-model.js';
export {
  capacityCurve,
  capacityOf,
  loadOf,
  MAX_SIZED_WORKERS,
  violatingShare,
  workersFor,
  type Sizing,
} from './sizing.js';
