import { LogOverloaded, TOPICS, type EventLog, type NewRecord } from '#adapters/event-log';
import { problem, type ProblemException } from '#adapters/http-api';

export interface Received {
  accepted: NewRecord[];
  deadLetters: NewRecord[];
}

/** Nothing is promised: some may have been written, and count once when they are sent again. */
export type NotTaken = 'overloaded' | 'unavailable';

/** Resolves when what was received is durable, or with why it is not. */
export async function appendReceived(
  log: EventLog,
  { accepted, deadLetters }: Received,
  onFailed: (error: Error) => void,
): Promise<NotTaken | undefined> {
  try {
    if (accepted.length > 0) await log.append(TOPICS.executions, accepted);
    if (deadLetters.length > 0) await log.append(TOPICS.deadLetters, deadLetters);
    return undefined;
  } catch (error) {
    onFailed(error as Error);
    return notTakenBy(error);
  }
}

/** Why the event log did not take a record. */
export function notTakenBy(error: unknown): NotTaken {
  return error instanceof LogOverloaded ? 'overloaded' : 'unavailable';
}

const DETAILS = {
  overloaded: { detail: 'event log: must have room, got more than it can write', retryAfterS: 1 },
  unavailable: { detail: 'event log: must be writable, got an error (e.g. a full disk)', retryAfterS: 10 },
};

/** What a sender is told of which nothing could be written. */
export function notTakenProblem(why: NotTaken): ProblemException {
  const { detail, retryAfterS } = DETAILS[why];
  return problem(503, {
    name: `log-${why}`,
    detail,
    hint: 'send the same again: what is written already counts once',
    headers: { 'retry-after': String(retryAfterS) },
  });
}

/** How a route that takes events documents {@link notTakenProblem}. */
export const NOT_TAKEN_REFUSAL = {
  503: 'Cannot be written now; send the same events again after Retry-After.',
} as const;
