export { DemandReader, type DemandReaderOptions } from './demand-reader.js';
