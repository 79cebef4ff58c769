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
  /** Those of them that tell no arrivals. */
  levelsBy: readonly number[];
}

/** The settings of any pool: those of the configuration, or the defaults for a pool first seen in an event. */
export function poolSettingsOf(config: Config): (pool: string) => PoolSettings {
  const known = new Map(
    Object.entries(config.pools).map(([name, pool]) => [name, complete(pool, samplersOf(name, config))]),
  );
  const others = complete(poolSchema.parse({}), { sampledBy: [], levelsBy: [] });
  return (pool) => known.get(pool) ?? others;
}

type Samplers = Pick<PoolSettings, 'sampledBy' | 'levelsBy'>;

function samplersOf(pool: string, { sources }: Config): Samplers {
  const own = Object.entries(sources).filter(
    ([, source]) => 'pools' in source && Object.hasOwn(source.pools, pool),
  );
  const levels = own.filter(([, { kind }]) => kind === 'rabbitmq-depth');
  const partitionsOf = (some: typeof own) => some.map(([name]) => sampledPartition(name));
  return { sampledBy: partitionsOf(own), levelsBy: partitionsOf(levels) };
}

function complete(pool: PoolConfig, samplers: Samplers): PoolSettings {
  const { startDelayMs, handlers } = pool.worker;
  return {
    ...pool,
    leadTimeMaxS: pool.leadTimeMaxS ?? startDelayMs / 1000 + PROCESS_START_S,
    hasFleet: handlers !== undefined,
    ...samplers,
  };
}
