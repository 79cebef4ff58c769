/** Rejects when the answer takes longer; what it was meant for goes on unheard. */
export async function within<T>(answer: Promise<T>, { ms, what }: { ms: number; what: string }): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: must answer within ${ms} ms`)), ms);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
