/** What is not there within this time is passed on as missing. */
const TIMEOUT_MS = 2_000;

/** The answer, or undefined when it fails or takes too long: the domain knows what a missing input means. */
export async function inTime<T>(answer: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), TIMEOUT_MS);
  try {
    return await Promise.race([answer, late.promise]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
