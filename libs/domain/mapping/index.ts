export { mapRecord, mapText, MAX_RECORD_BYTES, type About, type Mapping } from './map-record.js';
export { mappingSchema, type MappingRules } from './mapping.js';
export { MAPPING_REFUSALS, type Mapped, type MappingRefusal } from './outcome.js';
