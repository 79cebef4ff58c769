import type { CellResult } from './cell-result.js';
import { SYSTEMS, type System } from './setting.js';

/** t quantile .975 by degrees of freedom; beyond: the normal one. */
const T_975 = [NaN, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

export interface Interval {
  middle: number;
  /** undefined with a single seed. */
  low: number | undefined;
  high: number | undefined;
  seeds: number;
}

export type Figure = 'violating' | 'violationSeconds' | 'workerSeconds' | 'errors';

/** Arithmetic mean over the seeds, with its 95 % t interval. */
export function meanOf(values: number[]): Interval {
  const seeds = values.length;
  const middle = values.reduce((sum, value) => sum + value, 0) / seeds;
  if (seeds < 2) return { middle, low: undefined, high: undefined, seeds };
  const variance = values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (seeds - 1);
  const half = (T_975[seeds - 1] ?? 1.96) * Math.sqrt(variance / seeds);
  return { middle, low: middle - half, high: middle + half, seeds };
}

/** Geometric mean of one system's figure ÷ another's, seed by seed, with its 95 % t interval. */
export function ratioOf(
  results: CellResult[],
  { of, to, figure }: { of: System; to: System; figure: (result: CellResult) => number },
): Interval | undefined {
  const logs = seedsOf(results, of, to).map((seed) => {
    const at = (system: System) => figure(resultOf(results, system, seed) as CellResult);
    return Math.log(at(of) / at(to));
  });
  if (logs.length === 0) return undefined;
  const { middle, low, high, seeds } = meanOf(logs);
  const back = (value: number | undefined) => (value === undefined ? undefined : Math.exp(value));
  return { middle: Math.exp(middle), low: back(low), high: back(high), seeds };
}

/** Seeds that both systems have finished. */
export function seedsOf(results: CellResult[], ...systems: System[]): number[] {
  const seeds = [...new Set(results.map(({ cell }) => cell.seed))].sort((a, b) => a - b);
  return seeds.filter((seed) => systems.every((system) => resultOf(results, system, seed) !== undefined));
}

export function resultOf(results: CellResult[], system: System, seed: number): CellResult | undefined {
  return results.find(({ cell }) => cell.system === system && cell.seed === seed);
}

export function systemsOf(results: CellResult[]): System[] {
  return SYSTEMS.filter((system) => results.some(({ cell }) => cell.system === system));
}
