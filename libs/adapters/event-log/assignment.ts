/** What has the same number in several topics, together. */
export function byNumber<P extends { partition: number }>(partitions: P[]): P[][] {
  return [...Map.groupBy(partitions, ({ partition }) => partition).values()];
}

/**
 * Who reads which partition: as even as possible, and nobody loses a partition without need (sticky).
 *
 * @param partitions all partitions of the group's topics, in a fixed order
 * @param members in the order they joined
 * @param owners the present owners; entries of members that are gone are ignored
 */
export function assign<P, M>(partitions: P[], members: M[], owners: ReadonlyMap<P, M>): Map<P, M> {
  const assignment = new Map<P, M>();
  if (members.length === 0) return assignment;
  const most = Math.ceil(partitions.length / members.length);
  // With 5 partitions and 2 members one may keep 3; with 4 and 3 only one may keep 2.
  let mayKeepMost = partitions.length - (most - 1) * members.length;
  const counts = new Map(members.map((member) => [member, 0]));
  for (const partition of partitions) {
    const owner = owners.get(partition);
    const count = owner === undefined ? undefined : counts.get(owner);
    if (owner === undefined || count === undefined || count >= most) continue;
    if (count === most - 1 && mayKeepMost-- <= 0) continue;
    assignment.set(partition, owner);
    counts.set(owner, count + 1);
  }
  for (const partition of partitions) {
    if (assignment.has(partition)) continue;
    const [least] = [...counts].reduce((a, b) => (b[1] < a[1] ? b : a));
    assignment.set(partition, least);
    counts.set(least, (counts.get(least) as number) + 1);
  }
  return assignment;
}
