export { CATALOGUE, type MetricSpec } from './catalogue.js';
export { createLogger, LOG_LEVELS, NestLogger, type Logger, type LogLevel } from './logger.js';
export { createMetrics, forgetPool, type Metrics } from './metrics.js';
export { metricsPage } from './metrics-page.js';
