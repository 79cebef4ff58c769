export { probabilityAtMost, quantileAt, type Quantiles } from './distribution.js';
export { forecastSchema, LEVELS, type Forecast } from './forecast.js';
