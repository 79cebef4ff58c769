export { binaryEvent, parseEventRecord } from './cloud-event.js';
export {
  checkExecutionEvent,
  executionEventV1,
  MAX_EVENT_BYTES,
  parseExecutionEvent,
  PHASES,
  phaseOf,
  poolName,
  REFUSALS,
  type ExecutionEvent,
  type ParsedEvent,
  type Phase,
  type Refusal,
} from './execution-event.js';
