export type { DemandSampler, SampleSpan } from './demand-sampler.js';
export {
  QueryRefused,
  queryRange,
  type PrometheusAddress,
  type PrometheusSeries,
  type RangeQuery,
} from './prometheus-client.js';
export { PrometheusSampler, type PrometheusQueries } from './prometheus-sampler.js';
export { RabbitMqDepthSampler, RabbitMqDepths } from './rabbitmq-depth-sampler.js';
