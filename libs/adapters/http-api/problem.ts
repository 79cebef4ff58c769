import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { z } from 'zod';

/** Body of every error answer: RFC 9457, media type application/problem+json. */
export const problemSchema = z.object({
  /** Stable name for programs, `urn:headroom:<name>`; `about:blank` when the status says it all. */
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  /** `what: rule, got actual` */
  detail: z.string().optional(),
  /** What the caller can do. */
  hint: z.string().optional(),
  /** Every place of an input that is wrong. */
  errors: z.array(z.object({ where: z.string(), rule: z.string(), actual: z.string() })).optional(),
});
export type Problem = z.infer<typeof problemSchema>;
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** Thrown by controllers and pipes only, to leave Nest with a problem; domain and services return values. */
export class ProblemException extends HttpException {
  constructor(
    readonly problem: Problem,
    readonly headers: Record<string, string> = {},
  ) {
    super(problem, problem.status);
  }
}

/** A problem to throw: `throw problem(404, { detail: 'pool: must be known, got web' })`. */
export function problem(
  status: number,
  given: {
    name?: string;
    detail?: string;
    hint?: string;
    errors?: Problem['errors'];
    headers?: Record<string, string>;
  } = {},
): ProblemException {
  const { name, detail, hint, errors, headers } = given;
  return new ProblemException(
    {
      type: name === undefined ? 'about:blank' : `urn:headroom:${name}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      ...(detail !== undefined && { detail }),
      ...(hint !== undefined && { hint }),
      ...(errors !== undefined && { errors }),
    },
    headers,
  );
}
