import { Verdicts } from '#domain/simulation';
import type { SentRequests } from './sent-requests.js';
import { OBJECTIVE } from './setting.js';

export interface Score {
  requests: number;
  /** Over the objective from the planned arrival, failed, or rejected. */
  violating: number;
  violatingShare: number;
  violationSeconds: number;
  /** Without a 2xx answer. */
  errors: number;
  errorsBy: Record<string, number>;
  latencyMs: { p50: number; p95: number; p99: number; max: number };
  senderLatenessMs: { p99: number; max: number };
  /** By the second of the planned arrival. */
  arrivalsPerS: number[];
  violatingPerS: number[];
}

/** Judges what was planned in [0, scoredS), with what was sent before as the past of the first seconds. */
export function scoreOf(sent: SentRequests, scoredS: number): Score {
  const requests = requestsOf(sent);
  const scored = requests.filter(({ second }) => second >= 0 && second < scoredS);
  const violating = scored.filter(({ violates }) => violates).length;
  const perSecond = (of: typeof scored) => {
    const counts = Array.from({ length: scoredS }, () => 0);
    for (const { second } of of) counts[second] = (counts[second] as number) + 1;
    return counts;
  };
  const errors = scored.filter(({ failed }) => failed);
  const errorsBy = Object.groupBy(errors, ({ status }) => (status === 0 ? 'no answer' : `HTTP ${status}`));
  const latency = Float64Array.from(scored, ({ latencyMs }) => latencyMs).sort();
  return {
    requests: scored.length,
    violating,
    violatingShare: violating / scored.length,
    violationSeconds: violationSeconds(requests, scoredS),
    errors: errors.length,
    errorsBy: Object.fromEntries(Object.entries(errorsBy).map(([by, list]) => [by, list?.length ?? 0])),
    latencyMs: { p50: at(latency, 0.5), p95: at(latency, 0.95), p99: at(latency, 0.99), max: at(latency, 1) },
    senderLatenessMs: lateness(sent),
    arrivalsPerS: perSecond(scored),
    violatingPerS: perSecond(scored.filter(({ violates }) => violates)),
  };
}

interface Request {
  second: number;
  endedMs: number;
  latencyMs: number;
  status: number;
  failed: boolean;
  violates: boolean;
}

function requestsOf({ plannedMs, latencyMs, status }: SentRequests): Request[] {
  return Array.from(plannedMs, (planned, i) => {
    const [latency, code] = [latencyMs[i] as number, status[i] as number];
    const failed = code < 200 || code > 299;
    return {
      second: Math.floor(planned / 1000),
      endedMs: planned + latency,
      latencyMs: latency,
      status: code,
      failed,
      violates: failed || latency > OBJECTIVE.responseMs,
    };
  });
}

function violationSeconds(requests: Request[], scoredS: number): number {
  const byEnd = [...requests].sort((a, b) => a.endedMs - b.endedMs);
  const verdicts = new Verdicts(OBJECTIVE);
  let [next, seconds] = [0, 0];
  for (let second = Math.floor((byEnd[0]?.endedMs ?? 0) / 1000); second < scoredS; second++) {
    for (; next < byEnd.length && (byEnd[next] as Request).endedMs < (second + 1) * 1000; next++)
      verdicts.add((byEnd[next] as Request).violates);
    const violates = verdicts.endSecond();
    if (violates && second >= 0) seconds++;
  }
  return seconds;
}

function lateness({ latenessMs }: SentRequests): Score['senderLatenessMs'] {
  const rising = Float64Array.from(latenessMs).sort();
  return { p99: at(rising, 0.99), max: at(rising, 1) };
}

function at(rising: Float64Array, q: number): number {
  return rising[Math.min(rising.length - 1, Math.floor(q * rising.length))] ?? NaN;
}
