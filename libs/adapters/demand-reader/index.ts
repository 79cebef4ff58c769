export { DemandReader, type DemandReaderOptions } from './demand-reader.js';
export { Downtime, type Uncounted } from './downtime.js';
