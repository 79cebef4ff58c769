import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller } from './access-check.js';
import { problem } from './problem.js';

/**
 * What a sender that cannot get tokens brings instead: `passed` and `refused` can be told from the headers, `signed` when
 * the body is there.
 */
export type SenderProof =
  | { outcome: 'passed'; caller: Caller }
  | { outcome: 'refused' }
  | { outcome: 'signed'; holds(body: string): boolean; caller: Caller };

/** Undefined: the request brings no such proof, so that it needs a token. For routes with `proof` only. */
export type ProofOf = (request: {
  params: Readonly<Record<string, string>>;
  headers: IncomingHttpHeaders;
}) => SenderProof | undefined;

/** Signatures that wait for the body they are of. */
export class PendingSignatures {
  private readonly pending = new WeakMap<object, (body: string) => boolean>();

  constructor(
    fastify: FastifyInstance,
    private readonly onRefused: () => void,
  ) {
    // A request without a body has nothing that its signature could be of, and no parser sees it.
    fastify.addHook('preHandler', async (request) => {
      if (this.pending.has(request)) throw this.refusal();
    });
  }

  expect(request: FastifyRequest, holds: (body: string) => boolean): void {
    this.pending.set(request, holds);
  }

  awaits(request: FastifyRequest): boolean {
    return this.pending.has(request);
  }

  /** Before the body is parsed: a stranger's JSON is not looked into. Undefined: nothing is wrong. */
  check(request: FastifyRequest, body: string): Error | undefined {
    const holds = this.pending.get(request);
    if (holds === undefined) return undefined;
    if (!holds(body)) return this.refusal();
    this.pending.delete(request);
    return undefined;
  }

  private refusal(): Error {
    this.onRefused();
    return wrongProof();
  }
}

export function wrongProof() {
  return problem(401, {
    name: 'wrong-proof',
    detail: 'sender: must prove that it knows the secret, got another signature or secret',
    hint: 'compare the secret of the sender with the secretFile of its webhook',
  });
}
