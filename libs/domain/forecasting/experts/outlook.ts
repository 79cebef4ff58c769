import type { History } from '../history.js';
import type { Windows } from '../settings.js';
import type { HoltMemory } from './damped-holt.js';
import type { RidgeMemory } from './ridge.js';

/** What an expert looks at: a forecast from bucket `origin` for bucket origin + steps. It may read buckets ≤ origin. */
export interface Outlook {
  history: History;
  origin: number;
  steps: number;
  windows: Windows;
  /** Mean √arrivals of the level window that ends at the origin. */
  level: number;
  holt: HoltMemory;
  ridge: RidgeMemory;
}

/** One opinion. `point` is √arrivals, ≥ 0; NaN: it cannot tell (yet). Spread is learned from its errors, elsewhere. */
export interface Expert {
  name: string;
  /** May speak before the pool has a history to speak of. */
  reactive: boolean;
  point: (outlook: Outlook) => number;
}
