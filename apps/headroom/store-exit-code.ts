import type { StoreUnavailable } from '#adapters/store';
import { EXIT, type ExitCode } from './exit-codes.js';

const CODES: Record<StoreUnavailable['reason'], ExitCode> = {
  unreachable: EXIT.unreachable,
  'not-allowed': EXIT.notAllowed,
  unusable: EXIT.usage,
};

export function storeExitCode({ reason }: StoreUnavailable): ExitCode {
  return CODES[reason];
}
