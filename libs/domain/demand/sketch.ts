/**
 * A mergeable quantile sketch of non-negative values (DDSketch, Masson, Rim & Lee, VLDB 2019): every quantile is
 * within 1 % of the true value. `bins[i]` counts values in (γ^(i+offset−1), γ^(i+offset)], γ = 1.01/0.99.
 */
export interface Sketch {
  count: number;
  sum: number;
  zeros: number;
  offset: number;
  bins: number[];
}
