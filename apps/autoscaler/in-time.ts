/** What is not there within this time is passed on as missing. */
const TIMEOUT_MS = 2_000;

/** The answer; rejects when it takes longer than {@link TIMEOUT_MS}. `what`: for the error. */
export async function within<T>(answer: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const fail = () => late.reject(new Error(`${what}: an answer within ${TIMEOUT_MS} ms, got none`));
  const timer = setTimeout(fail, TIMEOUT_MS);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The answer, or undefined when it fails or takes too long, which `missing` is told: the domain knows what a missing
 * input means, but not why it is missing.
 */
export function inTime<T>(
  answer: Promise<T>,
  { what, missing }: { what: string; missing: (error: Error) => void },
): Promise<T | undefined> {
  return within(answer, what).catch((error: Error) => void missing(error));
}
