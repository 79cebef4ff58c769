export { probabilityAtMost, quantileAt, type Quantiles } from './distribution.js';
export { forecastStep, type ClosedBucket, type ForecastInput } from './forecast-step.js';
export { forecastSchema, LEVELS, type Forecast } from './forecast.js';
export type { ExternalForecast } from './issue.js';
export { newForecastMemory, type ForecastMemory } from './memory.js';
export { opinionsOf, type Opinion } from './opinions.js';
export { pinballLoss, SCORED_LEVELS } from './scores.js';
export {
  learnedBuckets,
  MAX_HORIZON_BUCKETS,
  MAX_SEASON_BUCKETS,
  type ForecastSettings,
} from './settings.js';
