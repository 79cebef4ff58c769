export { CallerOf, type Caller, type VerifyToken } from './access-check.js';
export { FromBody, FromParams, FromQuery } from './checked-input.js';
export { apiAdapter, configureApi } from './http-server.js';
export { openApiOf } from './openapi.js';
export { answerClientError } from './protocol-errors.js';
export type { UnexpectedFailure } from './problem-filter.js';
export { problem, PROBLEM_MEDIA_TYPE, ProblemException, type Problem } from './problem.js';
export { Endpoint, type HttpMethod, type Route } from './route-table.js';
export type { ProofOf, SenderProof } from './sender-proof.js';
