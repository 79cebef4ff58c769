import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { PROBLEM_MEDIA_TYPE, problem, type ProblemException } from './problem.js';

/** Longest parameter of an address, characters. */
export const MAX_PARAMETER_CHARS = 200;

/** An address that cannot be looked up in the route table at all, by Fastify's error code. */
export function addressProblem(code: string): ProblemException {
  switch (code) {
    case 'FST_ERR_BAD_URL':
      return problem(400, {
        name: 'malformed-request',
        detail: 'address: must be percent-encoded UTF-8, got something else',
      });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return problem(414, {
        detail: `address: must have parameters of at most ${MAX_PARAMETER_CHARS} characters, got a longer one`,
      });
    default:
      return problem(500);
  }
}

/**
 * Answers what is no HTTP request on its socket, and ends the connection. Returns the problem's status; undefined when
 * there is nobody to answer.
 */
export function answerClientError(error: { code?: string }, socket: Socket): number | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const { problem: content } = clientProblem(error.code);
  const body = JSON.stringify(content);
  const head = [
    `HTTP/1.1 ${content.status} ${STATUS_CODES[content.status]}`,
    `content-type: ${PROBLEM_MEDIA_TYPE}; charset=utf-8`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
  return content.status;
}

function clientProblem(code: string | undefined): ProblemException {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return problem(431, { detail: 'headers: must be at most 16 KiB together, got more' });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem(408, { detail: 'request: must arrive in time, got a part of it' });
    default:
      return problem(400, {
        name: 'malformed-request',
        detail: 'request: must be HTTP/1.1, got something else',
      });
  }
}
