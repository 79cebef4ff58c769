import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { problem } from './problem.js';
import { keyOf, methodsAt, type Route } from './route-table.js';
import { PendingSignatures, wrongProof, type ProofOf } from './sender-proof.js';

/** Who calls, as its token says. */
export interface Caller {
  subject: string;
  scopes: readonly string[];
}

export type VerifyToken = (
  token: string,
) => Promise<{ ok: true; scopes: readonly string[]; subject: string } | { ok: false; reason: string }>;

const BEARER = /^Bearer +([\w.~+/=-]+)$/i;
const callers = new WeakMap<object, Caller>();

/**
 * Checks every request before its body is read: a stranger must not make us read a megabyte, and a route that is not
 * in the table must not be open by accident. Not a Nest guard, because guards run after the body was parsed. Returns the
 * signatures that can be checked when the body is there.
 */
export function checkAccess(
  fastify: FastifyInstance,
  given: {
    routes: readonly Route[];
    verify: VerifyToken;
    /** What senders may bring instead of a token, on routes that say so. */
    proofOf?: ProofOf;
    /**
     * Every refused token, by a closed list of reasons: those of `verify`, `none`, `no-bearer`, `scope`, and `proof` for
     * what senders bring instead.
     */
    onTokenRefused?: (reason: string) => void;
  },
): PendingSignatures {
  const { routes, verify, proofOf = () => undefined, onTokenRefused = () => undefined } = given;
  const signatures = new PendingSignatures(fastify, () => onTokenRefused('proof'));
  const byKey = new Map(routes.map((route) => [keyOf(route), route]));

  fastify.addHook('onRequest', async (request) => {
    if (request.is404) throw notFound(routes, request);
    // HEAD answers like GET without the body.
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = byKey.get(`${method} ${request.routeOptions.url}`);
    if (route === undefined)
      throw problem(403, { detail: 'route: must be in the route table, got another one' });
    if (route.scope === 'public') return;
    const proof = route.proof === undefined ? undefined : proofOf(proofRequest(request));
    if (proof?.outcome === 'refused') {
      onTokenRefused('proof');
      throw wrongProof();
    }
    if (proof !== undefined) {
      if (proof.outcome === 'signed') signatures.expect(request, proof.holds);
      callers.set(request, proof.caller);
      return;
    }
    const identified = await identify(request, verify);
    if (!identified.ok) {
      onTokenRefused(identified.reason);
      throw unauthorized(identified.reason);
    }
    const { caller } = identified;
    if (!caller.scopes.includes(route.scope)) {
      onTokenRefused('scope');
      throw forbidden(route.scope);
    }
    callers.set(request, caller);
  });
  return signatures;
}

/** Parameter decorator: the caller of a route that is not public. */
export const CallerOf = createParamDecorator((_: unknown, context: ExecutionContext): Caller | undefined =>
  callers.get(context.switchToHttp().getRequest<FastifyRequest>()),
);

function proofRequest({ headers, params }: FastifyRequest): Parameters<ProofOf>[0] {
  return { headers, params: params as Record<string, string> };
}

async function identify(
  request: FastifyRequest,
  verify: VerifyToken,
): Promise<{ ok: true; caller: Caller } | { ok: false; reason: string }> {
  const { authorization } = request.headers;
  const token = BEARER.exec(authorization ?? '')?.[1];
  if (token === undefined) return { ok: false, reason: authorization === undefined ? 'none' : 'no-bearer' };
  const verified = await verify(token);
  if (!verified.ok) return verified;
  return { ok: true, caller: { subject: verified.subject, scopes: verified.scopes } };
}

// RFC 6750, section 3: no error code when the request carried no token at all.
function unauthorized(reason: string) {
  const isAbsent = reason === 'none' || reason === 'no-bearer';
  const challenge = `Bearer realm="headroom"${isAbsent ? '' : ', error="invalid_token"'}`;
  return problem(401, {
    name: 'no-valid-token',
    detail: `token: must be a valid bearer token, got ${reason === 'no-bearer' ? 'something else' : reason}`,
    hint: 'headroom token --scope <scope> --for 8h',
    headers: { 'www-authenticate': challenge },
  });
}

function forbidden(scope: string) {
  return problem(403, {
    name: 'insufficient-scope',
    detail: `token: must allow ${scope}, got one that does not`,
    hint: `headroom token --scope ${scope} --for 8h`,
    headers: { 'www-authenticate': `Bearer realm="headroom", error="insufficient_scope", scope="${scope}"` },
  });
}

function notFound(routes: readonly Route[], request: FastifyRequest) {
  const [pathname = '/'] = request.url.split('?');
  const allowed = methodsAt(routes, pathname);
  if (allowed.length === 0)
    return problem(404, { detail: 'address: must be one of the API (see /openapi.json)' });
  const allow = allowed.join(', ');
  return problem(405, { detail: `method: must be ${allow}, got ${request.method}`, headers: { allow } });
}
