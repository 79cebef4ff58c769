import type { Objective } from '#domain/slo';

/** Requests judged in the order of their end (docs/ARCHITECTURE.md, "How it is measured"). */
export class Verdicts {
  rejected = 0;
  /** violatingBefore[i]: violating ones among the first i. */
  private readonly violatingBefore = [0];
  private endedBeforeSecond = 0;
  private violationSeconds = 0;

  constructor(private readonly objective: Pick<Objective, 'quantile'>) {}

  /** Among all so far. */
  get violating(): number {
    return this.violatingBefore.at(-1) as number;
  }

  get requests(): number {
    return this.violatingBefore.length - 1;
  }

  add(violates: boolean): void {
    this.violatingBefore.push(this.violating + (violates ? 1 : 0));
  }

  /** True: a violation second. */
  endSecond(): boolean {
    const ended = this.violatingBefore.length - 1;
    const window = Math.min(ended, Math.max(LIVE_REQUESTS, ended - this.endedBeforeSecond));
    const violating = this.total(ended) - this.total(ended - window);
    const violates = violating > (1 - this.objective.quantile) * window;
    if (violates) this.violationSeconds++;
    this.endedBeforeSecond = ended;
    return violates;
  }

  result() {
    const { requests, rejected, violationSeconds, violating } = this;
    const violatingShare = requests === 0 ? 0 : violating / requests;
    return { requests, violating, violatingShare, rejected, violationSeconds };
  }

  private total(index: number): number {
    return this.violatingBefore[index] as number;
  }
}

/** A second is judged by at least so many of the latest requests: fewer would violate by chance. */
const LIVE_REQUESTS = 200;
