/** So many measured starts are remembered: enough for a 0.9 quantile, few enough to follow a machine that gets slower. */
const REMEMBERED_STARTS = 50;
/** High, because a forecast that looks too short ahead is late for every worker slower than it assumed. */
const QUANTILE = 0.9;

/** How long starts take, from what was measured. */
export class LeadTime {
  private startsS: number[] = [];

  /** @param expectedS what to say until a start was measured, seconds. */
  constructor(private readonly expectedS: number) {}

  measured(startS: number): void {
    this.startsS = [...this.startsS, startS].slice(-REMEMBERED_STARTS);
  }

  /** Seconds: the smallest measured start that is ≥ 90 % of them. */
  get s(): number {
    const rising = [...this.startsS].sort((a, b) => a - b);
    return rising[Math.ceil(QUANTILE * rising.length) - 1] ?? this.expectedS;
  }
}
