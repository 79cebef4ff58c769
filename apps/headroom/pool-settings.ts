import { sampledPartition } from '#domain/demand';
import { poolSchema, type Config, type PoolConfig } from './config.js';

/** Between starting a process and answering its ready probe, on a busy machine. */
const PROCESS_START_S = 5;

export interface PoolSettings extends PoolConfig {
  leadTimeMaxS: number;
  /** Somebody of ours runs its workers. */
  hasFleet: boolean;
  /** Partitions of the sources that measure it. */
  sampledBy: readonly number[];
}

/** The settings of any pool: those of the configuration, or the defaults for a pool first seen in an event. */
export function poolSettingsOf(config: Config): (pool: string) => PoolSettings {
  const known = new Map(
    Object.entries(config.pools).map(([name, pool]) => [name, complete(pool, sampledBy(name, config))]),
  );
  const others = complete(poolSchema.parse({}), []);
  return (pool) => known.get(pool) ?? others;
}

function sampledBy(pool: string, { sources }: Config): number[] {
  return Object.entries(sources).flatMap(([name, source]) => {
    return 'pools' in source && Object.hasOwn(source.pools, pool) ? [sampledPartition(name)] : [];
  });
}

function complete(pool: PoolConfig, partitions: readonly number[]): PoolSettings {
  const { startDelayMs, handlers } = pool.worker;
  return {
    ...pool,
    leadTimeMaxS: pool.leadTimeMaxS ?? startDelayMs / 1000 + PROCESS_START_S,
    hasFleet: handlers !== undefined,
    sampledBy: partitions,
  };
}
