export { forecastSchema, LEVELS, type Forecast } from './forecast.js';
