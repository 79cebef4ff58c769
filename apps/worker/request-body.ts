import type { IncomingMessage } from 'node:http';
import { MAX_BODY_BYTES } from '#adapters/fleet/worker-protocol';

export interface BodyLimits {
  bytes: number;
  /** From the begin of reading to the last byte: an execution has its slot for all of this time. */
  totalMs: number;
  /** Between two pieces of it. */
  silenceMs: number;
}

/** A sender that trickles must not have a slot until its deadline. */
export const BODY_LIMITS: BodyLimits = { bytes: MAX_BODY_BYTES, totalMs: 2000, silenceMs: 1000 };
/** What is still sent of a body that nobody wants is read for so long, so that its sender can read the answer. */
const LINGER_MS = 2000;

export type ReceivedBody =
  { ok: true; body: Uint8Array } | { ok: false; why: 'too-large' | 'too-slow' | 'given-up' };

/** The whole body, or why there is none. Never rejects: whoever stops sending is too slow, or aborts the signal. */
export function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<ReceivedBody> {
  const { promise, resolve } = Promise.withResolvers<ReceivedBody>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stop = (received: ReceivedBody) => {
    clearTimeout(total);
    clearTimeout(silence);
    signal.removeEventListener('abort', onAbort);
    request.off('data', onData).off('end', onEnd);
    if (!received.ok) throwAway(request);
    resolve(received);
  };
  const fail = (why: 'too-large' | 'too-slow' | 'given-up') => stop({ ok: false, why });
  const onAbort = () => fail('given-up');
  const onEnd = () => stop({ ok: true, body: Buffer.concat(chunks) });
  const onData = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > limits.bytes) return fail('too-large');
    chunks.push(chunk);
    silence.refresh();
  };
  const total = setTimeout(fail, limits.totalMs, 'too-slow');
  const silence = setTimeout(fail, limits.silenceMs, 'too-slow');
  signal.addEventListener('abort', onAbort);
  request.on('error', () => undefined); // The caller is gone: the signal says it.
  request.on('data', onData).on('end', onEnd);
  if (signal.aborted) fail('given-up');
  else if (Number(request.headers['content-length'] ?? 0) > limits.bytes) fail('too-large');
  return promise;
}

/** A connection that is closed over unread bytes is reset, and a reset may overtake the answer. */
function throwAway(request: IncomingMessage): void {
  const linger = setTimeout(() => request.destroy(), LINGER_MS).unref();
  request.once('close', () => clearTimeout(linger));
  request.resume();
}
