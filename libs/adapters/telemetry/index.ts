export { createLogger, NestLogger, type Logger } from './logger.js';
export { createMetrics, forgetPool, type Metrics } from './metrics.js';
export { metricsPage } from './metrics-page.js';
