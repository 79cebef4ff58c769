/** A place in a line: keep it to leave before one's turn. */
export interface Place<T> {
  readonly item: T;
  /** Neighbours; undefined at the ends. */
  ahead: Place<T> | undefined;
  behind: Place<T> | undefined;
  inLine: boolean;
}

/**
 * First in, first out; leaving from the middle costs the same as from the front. Its owner bounds it.
 *
 *   first ◀──ahead── ○ ◀── ○ ◀── last        A Set would do but for V8 walking over all its deleted entries
 *         ──behind─▶   ──▶   ──▶             whenever the front is read.
 */
export class WaitingLine<T> {
  private front: Place<T> | undefined;
  private back: Place<T> | undefined;
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** The one who waits longest; `behind` of it the next. */
  get first(): Place<T> | undefined {
    return this.front;
  }

  join(item: T): Place<T> {
    const place: Place<T> = { item, ahead: this.back, behind: undefined, inLine: true };
    if (this.back === undefined) this.front = place;
    else this.back.behind = place;
    this.back = place;
    this.count++;
    return place;
  }

  /** To the front, for one that had its turn in vain. */
  rejoinFirst(item: T): Place<T> {
    const place: Place<T> = { item, ahead: undefined, behind: this.front, inLine: true };
    if (this.front === undefined) this.back = place;
    else this.front.ahead = place;
    this.front = place;
    this.count++;
    return place;
  }

  /** Nothing happens when it has left already. */
  leave(place: Place<T>): void {
    if (!place.inLine) return;
    place.inLine = false;
    if (place.ahead === undefined) this.front = place.behind;
    else place.ahead.behind = place.behind;
    if (place.behind === undefined) this.back = place.ahead;
    else place.behind.ahead = place.ahead;
    this.count--;
  }
}
