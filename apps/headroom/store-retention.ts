import type { Retention } from '#adapters/store';
import { DECISIONS_KEPT_MS } from '../autoscaler/autoscaler.loop.js';
import { forecastsKeptS } from '../forecaster/forecaster.loop.js';
import { demandKeptS } from '../ingest/index.js';
import type { Config } from './config.js';
import { poolSettingsOf, type PoolSettings } from './pool-settings.js';

/** How long each table keeps the rows of a pool. Pools that nobody knows any more are kept by the default settings. */
export function retentionsOf(config: Config): Record<'demand' | 'forecasts' | 'decisions', Retention> {
  const settingsOf = poolSettingsOf(config);
  const all = [...Object.keys(config.pools), ''].map(settingsOf);
  const by = (keptS: (settings: PoolSettings) => number): Retention => ({
    keptMs: (pool) => keptS(settingsOf(pool)) * 1000,
    valuesMs: [...new Set(all.map((settings) => keptS(settings) * 1000))],
  });
  return {
    demand: by((settings) => demandKeptS(settings, config.ingest)),
    forecasts: by(forecastsKeptS),
    decisions: by(() => DECISIONS_KEPT_MS / 1000),
  };
}
