import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { problem } from './problem.js';
import type { PendingSignatures } from './sender-proof.js';

/**
 * Bodies of all requests that are not answered yet, bytes as they are sent; parsed, they take some five times as much.
 * Whoever waits for a slow event log or store keeps its body in memory, so that without this bound the number of senders
 * would be the bound.
 */
export const MAX_BODIES_BYTES = 32 * 1024 * 1024;
const RETRY_AFTER_S = 1;

/** Of it as much again for those whose signature shows only when their body is there: anybody can begin such a request. */
const UNPROVED_SHARE = 1 / 4;

/** Refuses a request with 503 before its body is read when there is no room for it. One alone always has room. */
export function boundBodies(
  fastify: FastifyInstance,
  signatures: Pick<PendingSignatures, 'awaits'>,
  maxBytes = MAX_BODIES_BYTES,
): void {
  const limit = fastify.initialConfig.bodyLimit ?? maxBytes;
  const proved = new Room(maxBytes);
  const unproved = new Room(UNPROVED_SHARE * maxBytes);
  fastify.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    const bytes = Math.min(bodyBytesOf(request), limit);
    if (bytes === 0) return;
    const room = signatures.awaits(request) ? unproved : proved;
    room.take(bytes);
    // Once, also when the caller goes away.
    reply.raw.once('close', () => room.leave(bytes));
  });
}

class Room {
  private held = 0;

  constructor(private readonly maxBytes: number) {}

  take(bytes: number): void {
    if (this.held > 0 && this.held + bytes > this.maxBytes) throw noRoom(this.maxBytes, this.held);
    this.held += bytes;
  }

  leave(bytes: number): void {
    this.held -= bytes;
  }
}

/** What a request says that it will send; without a length as much as it likes. */
function bodyBytesOf({ headers }: FastifyRequest): number {
  if (headers['transfer-encoding'] !== undefined) return Infinity;
  return Number(headers['content-length'] ?? 0);
}

function noRoom(maxBytes: number, held: number) {
  return problem(503, {
    name: 'overloaded',
    detail: `bodies: must be at most ${maxBytes} bytes at a time, ${held} are being worked on`,
    hint: 'send the same again',
    headers: { 'retry-after': String(RETRY_AFTER_S) },
  });
}
