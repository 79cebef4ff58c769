import { setTimeout as delay } from 'node:timers/promises';
import type { Broker, BrokerMetadata, Cluster, Kafka } from 'kafkajs';
import { TopicMismatch, type TopicPartition } from '../event-log.js';
import { inTime } from '../in-time.js';
import {
  fetchRequest,
  type FetchedPartition,
  type FetchFrom,
  type FetchWait,
  type ProtocolRequest,
} from './fetch-request.js';
import { REQUEST_TIMEOUT_MS } from './kafka-client.js';
import { ConnectionHung, explained, isPassing, kafkaTypeOf, NoAnswer } from './kafka-errors.js';

/** Brokers of which at least one must answer by then. */
const CONNECT_WITHIN_MS = 20_000;
/** Connections wait for what they were asked; not for long. */
const DISCONNECT_WITHIN_MS = 3_000;
/** What is known of the cluster is asked for again when it is older, by whoever wants it {@link KafkaCluster.refreshed}. */
const METADATA_MAX_AGE_MS = 10_000;
const NO_SUCH_TOPIC = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION']);
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 500;

/** Times with a meaning of their own in a request for offsets. */
export const END = -1;
export const START = -2;

/** A fetch that was neither answered nor refused by then never will be. */
const FETCH_ENDS_WITHIN_MS = 30_000;
/** For the state of the cluster. */
const REFRESH_WITHIN_MS = 15_000;
/** The library goes on with a connection that has broken, or has left a question without an answer. */
const DEAD_CONNECTION = new Set(['KafkaJSConnectionClosedError', 'KafkaJSRequestTimeoutError']);
/** Fetches wait, so the library gives them a connection of their own to each broker. */
const FETCH_CONNECTION = 1;
const COORDINATOR = { group: 0, transaction: 1 } as const;
const ISOLATION = { uncommitted: 0, committed: 1 } as const;

interface FetchConnection {
  disconnect(): Promise<unknown>;
}

/** What the library's brokers can do beyond what its types say. */
export interface ProtocolBroker extends Broker {
  connectionPool: {
    send<T>(request: ProtocolRequest<T>): Promise<T>;
    getConnection(index: number): Promise<FetchConnection>;
  };
  metadata(topics: string[]): Promise<BrokerMetadata & { clusterId?: string | null }>;
  listOffsets(request: {
    isolationLevel: number;
    topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: { partitions: { partition: number; offset: string }[] }[] }>;
  findGroupCoordinator(request: {
    groupId: string;
    coordinatorType: number;
  }): Promise<{ coordinator: { nodeId: number } }>;
  joinGroup(request: {
    groupId: string;
    sessionTimeout: number;
    rebalanceTimeout: number;
    memberId: string;
    groupProtocols: { name: string; metadata: Buffer }[];
  }): Promise<{
    generationId: number;
    leaderId: string;
    memberId: string;
    members: { memberId: string; memberMetadata: Buffer }[];
  }>;
  syncGroup(request: {
    groupId: string;
    generationId: number;
    memberId: string;
    groupAssignment: { memberId: string; memberAssignment: Buffer }[];
  }): Promise<{ memberAssignment: Buffer }>;
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>;
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
}

/**
 * One set of connections to the brokers, with the requests that a reader needs. The library keeps them behind its own
 * consumer; its partition assigners are given them, and so is this.
 */
export class KafkaCluster {
  private readonly opening = new Map<ProtocolBroker, Promise<FetchConnection>>();

  private constructor(private readonly cluster: Cluster) {}

  /** Connects for a topic that must exist. Throws {@link TopicMismatch}, or as {@link connect}. */
  static async find(kafka: Kafka, topic: string): Promise<KafkaCluster> {
    try {
      return await KafkaCluster.connect(kafka, [topic], `looking for topic ${topic}`);
    } catch (error) {
      if (!NO_SUCH_TOPIC.has(kafkaTypeOf(error) ?? '')) throw error;
      const hint = 'make it, or correct its name; eventLog.prefix is not put before it';
      throw new TopicMismatch(`event log topic ${topic}: must exist at the brokers, got none`, hint);
    }
  }

  /** Throws as {@link explained}, after some seconds without an answer. */
  static async connect(kafka: Kafka, topics: string[], doing = 'connecting'): Promise<KafkaCluster> {
    const cluster = new KafkaCluster(clusterBehind(kafka));
    const connect = async () => {
      await cluster.cluster.connect();
      await cluster.cluster.addMultipleTargetTopics(topics);
    };
    const connecting = connect();
    try {
      await inTime(connecting, CONNECT_WITHIN_MS, () => new NoAnswer(CONNECT_WITHIN_MS));
    } catch (error) {
      await cluster.close();
      disconnectedAfter(connecting, cluster.cluster);
      throw explained(error, doing);
    }
    return cluster;
  }

  /**
   * What the cluster has called itself since it was made; '' when its brokers do not tell, as Kafka's do. With a topic: for
   * none the library would have them list all.
   */
  async id(topic: string): Promise<string> {
    const { clusterId } = await (await this.anyBroker()).metadata([topic]);
    return clusterId ?? '';
  }

  /** Which broker has what to be read of each partition. */
  leaders(topic: string): Map<number, number> {
    const partitions = this.cluster.findTopicPartitionMetadata(topic);
    return new Map(partitions.map(({ partitionId, leader }) => [partitionId, leader]));
  }

  /** Asks for the cluster's state again. */
  refresh(): Promise<void> {
    return this.answered(this.cluster.refreshMetadata(), REFRESH_WITHIN_MS);
  }

  /** Asks for it again when it is old. */
  refreshed(): Promise<void> {
    return this.answered(this.cluster.refreshMetadataIfNecessary(), REFRESH_WITHIN_MS);
  }

  /**
   * What one broker has of the partitions it leads, waiting for it when it has nothing. Throws {@link ConnectionHung}:
   * only new connections help.
   */
  fetch(nodeId: number, partitions: FetchFrom[], wait: FetchWait): Promise<FetchedPartition[]> {
    const hung = () => new ConnectionHung(FETCH_ENDS_WITHIN_MS);
    return inTime(this.fetchOnce(nodeId, partitions, wait), FETCH_ENDS_WITHIN_MS, hung);
  }

  /**
   * Of each partition the first offset at or after the time (END and START are times as well); undefined when there is
   * none. `committed`: the end is where the first open transaction begins.
   */
  async offsets(
    topic: string,
    at: { partitions: number[]; timeMs: number; isolation?: keyof typeof ISOLATION },
  ): Promise<Map<number, number | undefined>> {
    const { partitions, timeMs, isolation = 'uncommitted' } = at;
    const found = new Map<number, number | undefined>();
    const leaders = this.leaders(topic);
    for (const [nodeId, led] of Map.groupBy(partitions, (partition) => leaders.get(partition) ?? -1)) {
      const broker = await this.broker(nodeId);
      const { responses } = await broker.listOffsets({
        isolationLevel: ISOLATION[isolation],
        topics: [{ topic, partitions: led.map((partition) => ({ partition, timestamp: timeMs })) }],
      });
      for (const { partition, offset } of responses.flatMap((response) => response.partitions))
        found.set(partition, offset === '-1' ? undefined : Number(offset));
    }
    return found;
  }

  /** Next offset that a group has to handle of each partition; undefined when it has never committed one. */
  async committed(group: string, partitions: TopicPartition[]): Promise<(number | undefined)[]> {
    if (partitions.length === 0) return [];
    const coordinator = await this.coordinator(group);
    const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, own]) => ({
      topic,
      partitions: own.map(({ partition }) => ({ partition, offset: '' })),
    }));
    const { responses } = await coordinator.offsetFetch({ groupId: group, topics });
    return partitions.map(({ topic, partition }) => {
      const own = responses.find((response) => response.topic === topic);
      const offset = Number(own?.partitions.find((entry) => entry.partition === partition)?.offset ?? -1);
      return offset < 0 ? undefined : offset;
    });
  }

  /**
   * The broker that knows a group, or a transactional id. Asked for here, because the library takes every refusal for
   * a broker that it could not find.
   */
  async coordinator(id: string, of: keyof typeof COORDINATOR = 'group'): Promise<ProtocolBroker> {
    const request = { groupId: id, coordinatorType: COORDINATOR[of] };
    const { coordinator } = await (await this.anyBroker()).findGroupCoordinator(request);
    return this.broker(coordinator.nodeId);
  }

  /** Tries again what fails for a passing reason, until the time is over; then throws as {@link explained}. */
  async retried<T>(doing: string, withinMs: number, work: () => Promise<T>): Promise<T> {
    const deadlineMs = performance.now() + withinMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      try {
        return await inTime(work(), deadlineMs - performance.now(), () => new NoAnswer(withinMs));
      } catch (error) {
        if (!isPassing(error) || performance.now() + pauseMs > deadlineMs) throw explained(error, doing);
      }
      await delay(pauseMs);
      await this.refresh().catch(() => undefined); // the next try will tell
    }
  }

  async close(): Promise<void> {
    await disconnected(this.cluster);
  }

  private async fetchOnce(nodeId: number, partitions: FetchFrom[], wait: FetchWait) {
    const broker = await this.broker(nodeId);
    const connection = await this.fetchConnection(broker);
    const answer = broker.connectionPool.send(fetchRequest(partitions, wait, REQUEST_TIMEOUT_MS));
    return answer.catch(async (error: Error) => {
      // This one alone: the library never answers what waits on another while that is being disconnected.
      if (DEAD_CONNECTION.has(error.name)) await connection.disconnect();
      throw error;
    });
  }

  private answered<T>(work: Promise<T>, withinMs: number): Promise<T> {
    return inTime(work, withinMs, () => new NoAnswer(withinMs));
  }

  /** Opened once: asked twice at the same time, the library opens two and forgets one. */
  private fetchConnection(broker: ProtocolBroker): Promise<FetchConnection> {
    let opening = this.opening.get(broker);
    if (opening === undefined) {
      opening = broker.connectionPool.getConnection(FETCH_CONNECTION);
      this.opening.set(broker, opening);
    }
    return opening.finally(() => this.opening.delete(broker));
  }

  private async anyBroker(): Promise<ProtocolBroker> {
    const [first = -1, ...others] = this.cluster.getNodeIds();
    for (const nodeId of others) {
      const broker = await this.broker(nodeId).catch(() => undefined);
      if (broker !== undefined) return broker;
    }
    return this.broker(first);
  }

  private async broker(nodeId: number): Promise<ProtocolBroker> {
    return (await this.cluster.findBroker({ nodeId: String(nodeId) })) as ProtocolBroker;
  }
}

/** Resolves when the connections are closed; those of a broker that does not answer are left to themselves. */
export async function disconnected(client: { disconnect(): Promise<unknown> }): Promise<void> {
  const late = () => new NoAnswer(DISCONNECT_WITHIN_MS);
  await inTime(client.disconnect(), DISCONNECT_WITHIN_MS, late).catch(() => undefined);
}

/** What was given up may connect all the same, when it is done. */
export function disconnectedAfter(
  givenUp: Promise<unknown>,
  client: { disconnect(): Promise<unknown> },
): void {
  const again = () => disconnected(client);
  void givenUp.then(again, again);
}

function clusterBehind(kafka: Kafka): Cluster {
  let cluster: Cluster | undefined;
  kafka.consumer({
    groupId: 'none',
    allowAutoTopicCreation: false,
    metadataMaxAge: METADATA_MAX_AGE_MS,
    partitionAssigners: [
      (given) => {
        cluster = given.cluster;
        const unused = () => Promise.reject(new Error('no member of any group'));
        return {
          name: 'none',
          version: 0,
          assign: unused,
          protocol: () => ({ name: '', metadata: Buffer.alloc(0) }),
        };
      },
    ],
  });
  if (cluster === undefined) throw new Error('kafkajs: an assigner must be given the cluster, got nothing');
  return cluster;
}
