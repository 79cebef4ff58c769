import { createRandom, drawLognormal, type Random } from '#domain/simulation';
import { kafkaSettingsSchema } from '#adapters/event-log/kafka-settings';
import type { KafkaSettings } from '#adapters/event-log';

export const PARTITIONS = 12;
export const POOLS = 50;
export const EVENT_BYTES = 400;
/** What arrives, in the time of the log. */
export const RATE_PER_S = 8_000;
export const DEDUPE_WINDOW_S = 300;
export const TOPIC = 'executions.v1';

/** The reader has a core to itself; brokers, the store's server and this bench have the other. */
export const CORES = { reader: 1, others: 0 };

const WAIT_MS = 20;
const SERVICE_MS = { mean: 20, cv: 0.5 };
/** Executions of which one has its start told as well, and of which one is rejected. */
const EVERY = { started: 20, rejected: 50 };

export interface MadeEvent {
  key: string;
  value: string;
}

/** Endless events as workers and the router send them; each execution ends at the time that it is given. */
export class EventMaker {
  private readonly random: Random;
  private executions = 0;

  constructor(seed: number) {
    this.random = createRandom(seed);
  }

  /** The events of one execution, its last one at the end. */
  next(endedAtMs: number, pool = poolOf(this.executions)): MadeEvent[] {
    const n = this.executions++;
    const executionId = this.uuid(n);
    const startedAtMs = endedAtMs - drawLognormal(SERVICE_MS, this.random);
    const queuedAtMs = startedAtMs + WAIT_MS * Math.log(1 - this.random());
    const about = { executionId, pool, queuedAtMs };
    if (n % EVERY.rejected === 0)
      return [eventOf({ ...about, phase: 'failed', errorClass: 'rejected', endedAtMs })];
    const end = eventOf({ ...about, phase: 'completed', startedAtMs, endedAtMs });
    return n % EVERY.started === 0 ? [eventOf({ ...about, phase: 'started', startedAtMs }), end] : [end];
  }

  /** Like one by chance: 36 characters that no other execution has. */
  private uuid(n: number): string {
    const word = () =>
      Math.floor(this.random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    const [a, b, c] = [word(), word(), n.toString(16).padStart(12, '0')];
    return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-8000-${c}`;
  }
}

const poolOf = (n: number): string => `pool-${String(n % POOLS).padStart(2, '0')}`;

function eventOf(given: {
  executionId: string;
  pool: string;
  phase: 'started' | 'completed' | 'failed';
  errorClass?: string;
  queuedAtMs: number;
  startedAtMs?: number;
  endedAtMs?: number;
}): MadeEvent {
  const { executionId, pool, phase, ...times } = given;
  const workerId = `${pool}-1`;
  const event = {
    specversion: '1.0',
    id: `${executionId}/1/${phase}`,
    source: `/headroom/workers/${workerId}`,
    type: `com.headroom.execution.${phase}.v1`,
    subject: executionId,
    time: new Date(given.endedAtMs ?? given.startedAtMs ?? 0).toISOString(),
    data: { pool, taskType: '', attempt: 1, workerId, ...times },
  };
  const bytes = JSON.stringify(event).length;
  event.data.taskType = 'resize-image'
    .padEnd(Math.max(1, EVENT_BYTES - bytes), '-')
    .slice(0, Math.max(1, EVENT_BYTES - bytes));
  return { key: executionId, value: JSON.stringify(event) };
}

export function kafkaSettings(brokers: string): KafkaSettings {
  return kafkaSettingsSchema.parse({ kind: 'kafka', brokers: [brokers], replicationFactor: 1 });
}
