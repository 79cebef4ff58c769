/** Events by time, the earliest first; equal times in the order they were added. A binary heap. */
export class Agenda<Event> {
  private readonly heap: { atMs: number; order: number; event: Event }[] = [];
  private added = 0;

  get nextAtMs(): number {
    return this.heap[0]?.atMs ?? Infinity;
  }

  add(atMs: number, event: Event): void {
    const { heap } = this;
    const entry = { atMs, order: this.added++, event };
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as (typeof heap)[number];
      if (!isBefore(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  /** The earliest event; ask `nextAtMs` first whether there is one. */
  take(): Event {
    const { heap } = this;
    const first = heap[0] as (typeof heap)[number];
    const last = heap.pop() as (typeof heap)[number];
    if (heap.length > 0) this.sink(last);
    return first.event;
  }

  private sink(entry: { atMs: number; order: number; event: Event }): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as typeof entry)) child++;
      const below = heap[child] as typeof entry;
      if (!isBefore(below, entry)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = entry;
  }
}

function isBefore(a: { atMs: number; order: number }, b: { atMs: number; order: number }): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
