import type { LoggerService } from '@nestjs/common';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Whatever carries a credential is cut before it is written. */
const SECRETS = [
  'token',
  '*.token',
  'authorization',
  '*.authorization',
  'headers.authorization',
  'req.headers.authorization',
];

/** Structured logs, one JSON object a line, to stderr: stdout belongs to what a command prints. */
export function createLogger({
  level,
  destination = pino.destination({ dest: 2, sync: true }),
}: {
  level: LogLevel;
  destination?: DestinationStream;
}): Logger {
  const redact = { paths: SECRETS, censor: '[secret]' };
  const timestamp = pino.stdTimeFunctions.isoTime;
  return pino({ level, redact, base: null, timestamp, serializers: { err: whatWentWrong } }, destination);
}

/**
 * Of an error what it says and where it happened. What else libraries hang on theirs are the rows of a statement, or the
 * arguments of a command: megabytes, and what nobody may read.
 */
function whatWentWrong(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack, code } = pino.stdSerializers.err(error as Error & { code?: string });
  return { type, message, stack, ...(typeof code === 'string' && { code }) };
}

/** NestJS's own messages, in the program's log. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: unknown): void {
    this.logger.debug({ context }, String(message));
  }
  debug(message: unknown, context?: unknown): void {
    this.logger.debug({ context }, String(message));
  }
  warn(message: unknown, context?: unknown): void {
    this.logger.warn({ context }, String(message));
  }
  error(message: unknown, ...details: unknown[]): void {
    if (message instanceof Error) this.logger.error({ err: message, details }, message.message);
    else this.logger.error({ details }, String(message));
  }
}
