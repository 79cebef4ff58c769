import { applyDecorators, HttpCode, RequestMapping, RequestMethod } from '@nestjs/common';
import type { z } from 'zod';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * One operation of the API. The same entry routes the request, guards it, checks its input and documents it, so the
 * four cannot disagree.
 */
export interface Route {
  method: HttpMethod;
  /** With `:name` for parameters, e.g. /v1/pools/:pool/demand */
  path: string;
  summary: string;
  /** What the token must allow; `public` needs no token. */
  scope: string;
  /** What a sender may bring instead of a token, for the documentation; see {@link ProofOf}. */
  proof?: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Media types of the body; default application/json. */
  accepts?: readonly string[];
  /** Success status; default 200. */
  status?: number;
  /** Body of the success answer; absent = no body. */
  response?: z.ZodType;
  /** Media type of the success answer; default application/json. */
  produces?: string;
  /** Headers of the success answer, with what they are for, e.g. ETag. */
  responseHeaders?: Record<string, string>;
  /** Request headers the operation reads, with what they are for, e.g. If-Match. */
  requestHeaders?: Record<string, string>;
  /** Refusals beside 400, 401, 403 and 500. */
  refusals?: Record<number, Refusal>;
}

/** When a refusal occurs; `response` when its body is no problem but this. */
export type Refusal = string | { description: string; response: z.ZodType };

/** `GET /v1/pools/:pool`: what a route is found by. */
export function keyOf({ method, path }: Pick<Route, 'method' | 'path'>): string {
  return `${method} ${path}`;
}

/** Method decorator of a controller: serves this route. */
export function Endpoint(route: Route): MethodDecorator {
  return applyDecorators(
    RequestMapping({ path: route.path, method: RequestMethod[route.method] }),
    HttpCode(route.status ?? 200),
  );
}

/** Methods that the table offers at an address (without its query), e.g. to answer 405 with Allow. */
export function methodsAt(routes: readonly Route[], pathname: string): HttpMethod[] {
  const segments = pathname.split('/');
  const matching = routes.filter(({ path }) => {
    const pattern = path.split('/');
    return (
      pattern.length === segments.length &&
      pattern.every((part, i) => (part.startsWith(':') ? segments[i] !== '' : part === segments[i]))
    );
  });
  return [...new Set(matching.map(({ method }) => method))];
}
