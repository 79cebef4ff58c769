/** The work's outcome, when it comes within the time; otherwise rejects with `late()`, and the work itself goes on. */
export async function inTime<T>(work: Promise<T>, withinMs: number, late: () => Error): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(() => expired.reject(late()), withinMs);
  try {
    return await Promise.race([work, expired.promise]);
  } finally {
    clearTimeout(timer);
  }
}
