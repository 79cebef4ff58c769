import { setTimeout as delay } from 'node:timers/promises';
import type { Broker, Cluster, Kafka } from 'kafkajs';
import { CoordinatorNotReady, isNotReady } from './kafka-errors.js';

/** Back-to-back transactions wait for the end of the one before: some milliseconds. */
const FIRST_PAUSE_MS = 5;
const MAX_PAUSE_MS = 500;

/** What a transaction asks its coordinators. A call that was refused has changed nothing; one that is repeated, neither. */
const CALLS = [
  'initProducerId',
  'addPartitionsToTxn',
  'addOffsetsToTxn',
  'txnOffsetCommit',
  'endTxn',
] as const;

type Coordinator = Broker & Record<(typeof CALLS)[number], (request: object) => Promise<unknown>>;
type CreateCluster = (options: object) => Cluster;

/**
 * The library, except that calls of transactions wait until their coordinator is ready, for so long: it may move, load
 * what it keeps, or lack CPU. By itself it gives most of them up when they are refused once, and the end of a transaction
 * cannot be asked for again from outside of it.
 */
export function withPatientTransactions(kafka: Kafka, readyWithinMs: number): Kafka {
  const symbols = Object.getOwnPropertySymbols(kafka);
  const name = symbols.find(({ description }) => description === 'private:Kafka:createCluster');
  if (name === undefined) throw new Error('kafkajs: a client must create its clusters, got none that does');
  const create = (kafka as unknown as Record<symbol, CreateCluster>)[name] as CreateCluster;
  const patient = Object.create(kafka) as Kafka;
  return Object.assign(patient, {
    [name]: (options: object) => withPatience(create(options), readyWithinMs),
  });
}

function withPatience(cluster: Cluster, readyWithinMs: number): Cluster {
  const find = cluster.findGroupCoordinator.bind(cluster) as (of: object) => Promise<Coordinator>;
  cluster.findGroupCoordinator = async (of) =>
    patientCoordinator(await patiently(() => find(of), readyWithinMs), () => find(of), readyWithinMs);
  return cluster;
}

/** Asks the broker that it was, and then whoever it is. */
function patientCoordinator(
  first: Coordinator,
  find: () => Promise<Coordinator>,
  readyWithinMs: number,
): Coordinator {
  const calls = CALLS.map((call) => {
    const ask = (request: object) => {
      let known: Coordinator | undefined = first;
      return patiently(async () => {
        const coordinator = known ?? (await find());
        known = undefined;
        return coordinator[call](request);
      }, readyWithinMs);
    };
    return [call, ask] as const;
  });
  return Object.assign(Object.create(first) as Coordinator, Object.fromEntries(calls));
}

async function patiently<T>(ask: () => Promise<T>, readyWithinMs: number): Promise<T> {
  const deadlineMs = performance.now() + readyWithinMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (!isNotReady(error)) throw error;
      if (performance.now() + pauseMs > deadlineMs) throw new CoordinatorNotReady(readyWithinMs, error);
    }
    await delay(pauseMs);
  }
}
