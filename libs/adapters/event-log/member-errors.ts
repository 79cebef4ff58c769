/** A handler of a member took too long: the member is expelled, and others go on with its partitions. */
export class BatchHung extends Error {
  override name = 'BatchHung';

  constructor({ group, what, maxBatchMs }: { group: string; what: string; maxBatchMs: number }) {
    super(`event log, group ${group}: ${what} must end within ${maxBatchMs} ms`);
  }
}

/** A commit by a member of a group that said nothing of commits: nobody was fenced for it. */
export class DoesNotCommit extends Error {
  override name = 'DoesNotCommit';

  constructor(group: string) {
    super(
      `event log, group ${group}: a group that commits must say so when it subscribes, got no \`commits\``,
    );
  }
}
