export { binaryEvent, parseEventRecord, parseForCounting } from './cloud-event.js';
export {
  checkExecutionEvent,
  executionEventV1,
  isPoolName,
  MAX_EVENT_BYTES,
  parseExecutionEvent,
  PHASES,
  phaseOf,
  poolName,
  REFUSALS,
  type CountedEvent,
  type ExecutionEvent,
  type ParsedEvent,
  type ParsedForCounting,
  type Phase,
  type Refusal,
} from './execution-event.js';
export { scanEvent, type Utf8 } from './scan-event.js';
