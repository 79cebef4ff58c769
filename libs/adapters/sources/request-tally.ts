import { DDSketch } from '@datadog/sketches-js';

/** Percentiles are within 1 % of the true value, and memory does not grow with the run. */
const RELATIVE_ACCURACY = 0.01;

/** What became of the planned requests: `planned = sent + skipped`, `sent = Σ byStatus + Σ byError + inFlight`. */
export interface PacedSummary {
  planned: number;
  sent: number;
  /** Sent later than planned by more than {@link LATE_AFTER_MS}: this program was too slow, not the router. */
  late: number;
  /** Not sent: the bound of requests in flight was reached, or they were later than the deadline. */
  skipped: number;
  /** 2xx. */
  ok: number;
  byStatus: Record<string, number>;
  /** By error code: `deadline`, `aborted`, `ECONNREFUSED`, … */
  byError: Record<string, number>;
  inFlight: number;
  /** Milliseconds from the *planned* time to the end of the answer, of all answers; undefined without one. */
  latencyMs: { p50: number; p95: number; p99: number; max: number } | undefined;
  /** Share of planned requests that were not answered 2xx within the objective; undefined before the first end. */
  overObjectiveRatio: number | undefined;
  objectiveMs: number;
  durationS: number;
}

/** A request sent later than this after its planned time is counted as late, ms. */
export const LATE_AFTER_MS = 20;

/** Error codes kept apart; more are counted as `other`. */
const MAX_ERROR_CODES = 20;

/** When a request was to be sent, ms since the start, and how long after that it ended. */
export interface RequestTimes {
  plannedMs: number;
  latencyMs: number;
}

/** Told of every request, by whoever wants more than sums. */
export interface RequestListener {
  /** `latenessMs`: sent so much later than planned. */
  sent(request: { latenessMs: number }): void;
  /** `status`: 0 without an answer. */
  ended(request: RequestTimes & { status: number }): void;
}
const NOBODY: RequestListener = { sent: () => undefined, ended: () => undefined };

/** Counts what happens to requests. */
export class RequestTally {
  private readonly latency = new DDSketch({ relativeAccuracy: RELATIVE_ACCURACY });
  private readonly byStatus: Record<string, number> = {};
  private readonly byError: Record<string, number> = {};
  private sent = 0;
  private late = 0;
  private skipped = 0;
  private ok = 0;
  private withinObjective = 0;
  private inFlight = 0;
  private maxMs = 0;

  constructor(
    private readonly objectiveMs: number,
    private readonly listener: RequestListener = NOBODY,
  ) {}

  started({ latenessMs }: { latenessMs: number }): void {
    this.sent++;
    this.inFlight++;
    if (latenessMs > LATE_AFTER_MS) this.late++;
    this.listener.sent({ latenessMs });
  }

  skip({ plannedMs }: Pick<RequestTimes, 'plannedMs'>): void {
    this.skipped++;
    this.listener.ended({ plannedMs, latencyMs: 0, status: 0 });
  }

  answered(answer: RequestTimes & { status: number }): void {
    const { status, latencyMs } = answer;
    this.listener.ended(answer);
    this.inFlight--;
    this.byStatus[status] = (this.byStatus[status] ?? 0) + 1;
    this.latency.accept(latencyMs);
    this.maxMs = Math.max(this.maxMs, latencyMs);
    if (status < 200 || status > 299) return;
    this.ok++;
    if (latencyMs <= this.objectiveMs) this.withinObjective++;
  }

  failed({ code, plannedMs, latencyMs }: RequestTimes & { code: string }): void {
    this.listener.ended({ plannedMs, latencyMs, status: 0 });
    this.inFlight--;
    const known = code in this.byError || Object.keys(this.byError).length < MAX_ERROR_CODES;
    const key = known ? code : 'other';
    this.byError[key] = (this.byError[key] ?? 0) + 1;
  }

  get open(): number {
    return this.inFlight;
  }

  summary({ durationS }: { durationS: number }): PacedSummary {
    const { sent, late, skipped, ok, inFlight, objectiveMs } = this;
    const ended = sent - inFlight + skipped;
    return {
      planned: sent + skipped,
      sent,
      late,
      skipped,
      ok,
      byStatus: { ...this.byStatus },
      byError: { ...this.byError },
      inFlight,
      latencyMs: this.percentiles(),
      overObjectiveRatio: ended === 0 ? undefined : (ended - this.withinObjective) / ended,
      objectiveMs,
      durationS,
    };
  }

  private percentiles(): PacedSummary['latencyMs'] {
    if (this.latency.count === 0) return undefined;
    const at = (q: number) => Math.min(this.maxMs, this.latency.getValueAtQuantile(q));
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: this.maxMs };
  }
}
