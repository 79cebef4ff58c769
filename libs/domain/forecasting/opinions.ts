import { LEVELS } from './forecast.js';
import type { ForecastMemory } from './memory.js';
import { fromRoot } from './scale.js';
import type { ForecastSettings } from './settings.js';
import { expertRoot, newStage, rowAt } from './stage.js';

/** What one expert alone would have forecast. */
export interface Opinion {
  expert: string;
  /** Arrivals per bucket at LEVELS, non-decreasing, ≥ 0; undefined: it cannot tell (yet). */
  values: number[] | undefined;
}

/**
 * Every expert's own quantiles behind the forecast made last, before weights and calibration: per horizon, in the order
 * of settings.horizonsS. Read from memory, which stays as it is.
 */
export function opinionsOf(settings: ForecastSettings, memory: ForecastMemory): Opinion[][] {
  const { names, row: layout } = newStage(settings);
  const { external } = layout;
  return memory.horizons.map((horizon) => {
    const row = rowAt(horizon, memory.history.end - 1, layout);
    return names.map((name, expert) => {
      if (Number.isNaN(horizon.pending[row + expert])) return { expert: name, values: undefined };
      const values = LEVELS.map((_, level) =>
        fromRoot(expertRoot(horizon, { expert, level, row, external })),
      );
      return { expert: name, values };
    });
  });
}
