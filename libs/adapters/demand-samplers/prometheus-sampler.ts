import { serviceAround, type DemandSample } from '#domain/demand';
import type { DemandSampler, SampleSpan } from './demand-sampler.js';
import {
  QueryRefused,
  queryRange,
  type PrometheusAddress,
  type PrometheusSeries,
} from './prometheus-client.js';

/** What to ask of a pool, in PromQL. All but the buckets must be one series: aggregate with sum(). */
export interface PrometheusQueries {
  /** Arrivals per second. */
  arrivals: string;
  /** Executions that are being served. */
  inFlight?: string | undefined;
  /** Executions that wait. */
  backlog?: string | undefined;
  /** Mean service time, seconds. */
  serviceMeanS?: string | undefined;
  /** Service times as a histogram: series by `le`, in seconds, per second. */
  serviceBuckets?: string | undefined;
}

/** The last bucket of a histogram has no end; its values count as this much more than where it begins. */
const OPEN_BUCKET_RATIO = 1.5;

/** What a pool received, asked of Prometheus bucket by bucket: also of those that passed while nobody asked. */
export class PrometheusSampler implements DemandSampler {
  constructor(
    private readonly address: PrometheusAddress,
    private readonly queries: PrometheusQueries,
  ) {}

  async sample(span: SampleSpan): Promise<DemandSample[]> {
    const { arrivals, inFlight, backlog, serviceMeanS, serviceBuckets } = this.queries;
    const [rates, served, waiting, means, histogram] = await Promise.all([
      this.single(arrivals, span),
      this.single(inFlight, span),
      this.single(backlog, span),
      this.single(serviceMeanS, span),
      this.ask(serviceBuckets, span),
    ]);
    const isTold = (startMs: number) =>
      (inFlight === undefined || served.has(startMs)) && (backlog === undefined || waiting.has(startMs));
    // A level that is asked for and not told would stay as it was told last: the bucket is not known instead.
    const told = [...rates].filter(([startMs]) => isTold(startMs));
    return told.map(([startMs, ratePerS]) => {
      const count = Math.max(0, ratePerS) * span.bucketS;
      const levels = { inFlight: levelOf(served.get(startMs)), backlog: levelOf(waiting.get(startMs)) };
      const meanS = means.get(startMs) ?? littlesMeanS(levels.inFlight, ratePerS);
      const service =
        histogram.length > 0
          ? serviceIn(histogram, startMs, count, span)
          : serviceAround(meanS * 1000, count);
      return {
        startMs,
        arrivals: count,
        ...(levels.inFlight !== undefined && { inFlight: levels.inFlight }),
        ...(levels.backlog !== undefined && { backlog: levels.backlog }),
        service,
      };
    });
  }

  /** Values by the start of their bucket. */
  private async single(query: string | undefined, span: SampleSpan): Promise<Map<number, number>> {
    const series = await this.ask(query, span);
    if (series.length > 1)
      throw new QueryRefused(
        `prometheus: ${query}: must be one series (sum() makes one), got ${series.length}`,
      );
    return valuesIn(series[0], span);
  }

  private async ask(
    query: string | undefined,
    { fromMs, toMs, bucketS }: SampleSpan,
  ): Promise<PrometheusSeries[]> {
    if (query === undefined) return [];
    // What is measured over a bucket is known at its end.
    return queryRange(this.address, { query, fromMs: fromMs + bucketS * 1000, toMs, stepS: bucketS });
  }
}

function valuesIn(series: PrometheusSeries | undefined, { bucketS }: SampleSpan): Map<number, number> {
  return new Map((series?.values ?? []).map(({ atMs, value }) => [atMs - bucketS * 1000, value]));
}

function levelOf(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, value);
}

/** Little's law: what is in service ÷ what arrives. NaN: not known. */
function littlesMeanS(inFlight: number | undefined, ratePerS: number): number {
  return inFlight === undefined || !(ratePerS > 0) ? Number.NaN : inFlight / ratePerS;
}

/** Spreads what arrived over the buckets of a histogram, whose own counts may be of a longer time. */
function serviceIn(
  histogram: readonly PrometheusSeries[],
  startMs: number,
  count: number,
  span: SampleSpan,
): { valueMs: number; count: number }[] {
  const cumulative = histogram
    .map((series) => ({ upToS: upperBoundS(series), ratePerS: valuesIn(series, span).get(startMs) ?? 0 }))
    .filter(({ upToS }) => !Number.isNaN(upToS))
    .toSorted((a, b) => a.upToS - b.upToS);
  const totalPerS = cumulative.at(-1)?.ratePerS ?? 0;
  if (totalPerS <= 0) return [];
  return cumulative.flatMap(({ upToS, ratePerS }, i) => {
    const below = cumulative[i - 1] ?? { upToS: 0, ratePerS: 0 };
    const share = (ratePerS - below.ratePerS) / totalPerS;
    const valueS = upToS === Infinity ? below.upToS * OPEN_BUCKET_RATIO : middleOf(below.upToS, upToS);
    return share > 0 ? [{ valueMs: valueS * 1000, count: share * count }] : [];
  });
}

function upperBoundS({ labels }: PrometheusSeries): number {
  const { le } = labels;
  return le === '+Inf' ? Infinity : Number(le ?? Number.NaN);
}

/** Buckets grow by ratios, and so do latencies. */
function middleOf(fromS: number, toS: number): number {
  return fromS > 0 ? Math.sqrt(fromS * toS) : toS / 2;
}
