import { rootAt } from '../history.js';
import type { Season } from '../settings.js';
import type { Expert } from './outlook.js';

/** What arrived one season before the target; as many seasons before as it takes for a horizon beyond one. */
export function seasonalNaive({ seasonS, buckets }: Season): Expert {
  return {
    name: `season-${seasonS}`,
    reactive: false,
    point: ({ history, origin, steps }) =>
      rootAt(history, origin + steps - Math.ceil(steps / buckets) * buckets),
  };
}
