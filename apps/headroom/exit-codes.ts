/** Exit codes of every command (docs/ARCHITECTURE.md, "Exit codes"). A signal ends a command with 128 + its number. */
export const EXIT = {
  ok: 0,
  /** A check or a verdict failed. */
  failed: 1,
  /** Wrong usage, configuration or input. */
  usage: 2,
  unreachable: 3,
  notAllowed: 4,
  /** It cannot be told, e.g. because the program itself failed. */
  invalid: 5,
  interrupted: 130,
  terminated: 143,
} as const;
/** For a command that a signal has ended before it was done. */
export function exitCodeOfSignal(signal: 'SIGINT' | 'SIGTERM'): ExitCode {
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
}

/** For a command whose request was answered with this status, which is no success. */
export function exitCodeOfStatus(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.notAllowed;
  if (status === 409) return EXIT.failed;
  return status >= 500 ? EXIT.unreachable : EXIT.usage;
}

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
