import { seededRandom } from '../killed-program.js';
import { PLACES, type PlaceName } from '../separate-processes.js';

/** What can strike. */
export const KINDS = [
  'kill',
  'kafka-kill',
  'kafka-restart',
  'kafka-cut',
  'kafka-latency',
  'postgres-kill',
  'postgres-restart',
  'postgres-cut',
  'postgres-latency',
  'clock',
] as const;
export type Kind = (typeof KINDS)[number];

export interface Fault {
  kind: Kind;
  /** A process; of a cut and a latency also every process; of a server's own faults the server. */
  target: PlaceName | 'every process' | 'server';
  /** From the strike until it is healed. A restart takes as long as it takes. */
  durationMs: number;
  /** latency: by how many ms an answer comes later. clock: by how many seconds it is ahead, negative: behind. */
  amount?: number;
}

type Target = Fault['target'];

const ON_STORE = ['ingest-1', 'ingest-2', 'forecaster', 'autoscaler-1', 'autoscaler-2'] as const;
const ON_LOG = [...ON_STORE, 'router-1', 'router-2'] as const;

interface Bounds {
  targets: readonly Target[];
  durationMs: readonly [number, number];
  amount?: readonly [number, number];
}

const SERVER = ['server'] as const;
/** A session with the broker ends after 6 s: cuts of both sides of it. */
const CUT_MS = [500, 10_000] as const;
const SLOW_MS = [2_000, 6_000] as const;
const LATENCY_MS = [50, 500] as const;
const DOWN_MS = [0, 3_000] as const;

const BOUNDS: Record<Kind, Bounds> = {
  kill: { targets: PLACES, durationMs: DOWN_MS },
  'kafka-kill': { targets: SERVER, durationMs: DOWN_MS },
  'kafka-restart': { targets: SERVER, durationMs: [0, 0] },
  'kafka-cut': { targets: [...ON_LOG, 'every process'], durationMs: CUT_MS },
  'kafka-latency': { targets: [...ON_LOG, 'every process'], durationMs: SLOW_MS, amount: LATENCY_MS },
  'postgres-kill': { targets: SERVER, durationMs: DOWN_MS },
  'postgres-restart': { targets: SERVER, durationMs: [0, 0] },
  'postgres-cut': { targets: [...ON_STORE, 'every process'], durationMs: CUT_MS },
  'postgres-latency': { targets: [...ON_STORE, 'every process'], durationMs: SLOW_MS, amount: LATENCY_MS },
  // Readers leave out what is more than a minute ahead of them; half of that is what a user would call broken.
  clock: { targets: PLACES, durationMs: [3_000, 8_000], amount: [-30, 30] },
};

/** Of any ten that follow each other from the start each is of another kind, and kills reach every process in turn. */
export function drawFaults(seed: number, count: number): Fault[] {
  const random = seededRandom(seed);
  const kinds = dealt(KINDS, random);
  const targets = new Map(KINDS.map((kind) => [kind, dealt(BOUNDS[kind].targets, random)]));
  const between = ([from, to]: readonly [number, number]) => Math.round(from + random() * (to - from));
  return Array.from({ length: count }, () => {
    const kind = kinds();
    const { durationMs, amount } = BOUNDS[kind];
    const target = (targets.get(kind) as () => Target)();
    const drawn = { kind, target, durationMs: between(durationMs) };
    return amount === undefined ? drawn : { ...drawn, amount: between(amount) };
  });
}

/** Deals shuffled cards one by one; when all are dealt, shuffles them anew. */
function dealt<T>(cards: readonly T[], random: () => number): () => T {
  let left: T[] = [];
  return () => {
    if (left.length === 0) left = [...cards];
    return left.splice(Math.floor(random() * left.length), 1)[0] as T;
  };
}

export function describeFault({ kind, target, durationMs, amount }: Fault): string {
  const who = target === 'server' ? '' : ` ${target}`;
  const unit = kind === 'clock' ? 's' : 'ms';
  const much = amount === undefined ? '' : ` ${kind === 'clock' && amount > 0 ? '+' : ''}${amount} ${unit}`;
  const long = durationMs === 0 ? '' : ` for ${(durationMs / 1000).toFixed(1)} s`;
  return `${kind}${who}${much}${long}`;
}
