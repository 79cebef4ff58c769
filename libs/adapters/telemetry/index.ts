export { createLogger, NestLogger, type Logger } from './logger.js';
export { createMetrics, ForgottenPools, type Metrics } from './metrics.js';
export { metricsPage } from './metrics-page.js';
