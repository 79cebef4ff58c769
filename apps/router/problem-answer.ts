import { STATUS_CODES, type ServerResponse } from 'node:http';
import { PROBLEM_MEDIA_TYPE, type Problem } from '#adapters/http-api';

/** Whoever still sends a body that is too large has this long to read so, before the connection may be closed, ms. */
const LINGER_MS = 2000;
/** When to try again, seconds: a queue of this router is drained or grows within about this time. */
const RETRY_AFTER_S = 1;

export interface Refusal {
  status: 400 | 404 | 413 | 501 | 502 | 503 | 504;
  name: string;
  /** `what: rule, got actual` */
  detail: string;
}

/** Answers with an RFC 9457 problem. Not through an exception: refusing must be cheaper than serving. */
export function answerProblem(response: ServerResponse, { status, name, detail }: Refusal): void {
  const title = STATUS_CODES[status] as string;
  const problem: Problem = { type: `urn:headroom:${name}`, title, status, detail };
  const body = JSON.stringify(problem);
  response.statusCode = status;
  response.setHeader('content-type', `${PROBLEM_MEDIA_TYPE}; charset=utf-8`);
  response.setHeader('content-length', Buffer.byteLength(body));
  if (status === 503) response.setHeader('retry-after', RETRY_AFTER_S);
  if (status === 413) endAfterRequest(response, body);
  else response.end(body);
}

/** A connection that is closed over unread bytes is reset, and a reset may overtake the answer. */
function endAfterRequest(response: ServerResponse, body: string): void {
  const { req: request } = response;
  response.write(body);
  const end = () => {
    clearTimeout(linger);
    response.end();
  };
  const linger = setTimeout(end, LINGER_MS);
  request.once('close', end).resume();
}
