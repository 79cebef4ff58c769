/** A queue that copies have. */
export const QUORUM = { 'x-queue-type': 'quorum' } as const;
/** How often a message may come back because a connection that held it broke; then the broker drops it. */
export const DELIVERY_LIMIT = 'x-delivery-limit';
/** RabbitMQ's first version that has a limit by itself, of 20. To those before, the limit of -1 is one that is passed at once. */
const LIMITED_SINCE = 4;
const UNLIMITED = -1;

/** What a queue is made with by a broker of this version, so that it drops nothing. */
export function queueArgumentsAt(version: string): Readonly<Record<string, string | number>> {
  const isLimited = Number.parseInt(version, 10) >= LIMITED_SINCE;
  return { ...QUORUM, ...(isLimited && { [DELIVERY_LIMIT]: UNLIMITED }) };
}
