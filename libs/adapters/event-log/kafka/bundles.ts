import type { TopicPartition } from '../event-log.js';

/**
 * Partitions are owned by the bundle, and each bundle has one transactional id. Kafka fences the id, not the
 * partition, so what shares an id must never be split among members. Partition n of every topic of a group is in the
 * same bundle: what is keyed alike is read by the same member.
 */
export function bundleOf(partition: number, bundles: number): number {
  return partition % bundles;
}

/** Bundles that have a partition, from 0. */
export function bundlesIn(partitions: number, bundles: number): number[] {
  return Array.from({ length: Math.min(partitions, bundles) }, (_, bundle) => bundle);
}

/** The same in every process and run: whoever begins with it ends whatever was begun with it before. */
export function transactionalIdOf(given: { group: string; bundle: number }): string {
  return `${given.group}.${given.bundle}`;
}

export const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`;
