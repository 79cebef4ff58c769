/** What somebody should read in the log, with the ids to find it by. */
export interface Note {
  msg: string;
  executionId?: string;
  /** Stack or message of what was thrown. */
  err?: string;
  [field: string]: unknown;
}

/** What fails on every request must not fill the disk with its log. */
const NOTES_PER_WINDOW = 20;
const WINDOW_MS = 10_000;

/** Passes on the first notes of every ten seconds and counts the rest. Loads nothing: worker processes use it. */
export class LimitedNotes {
  private windowStartMs = -Infinity;
  private notes = 0;
  private suppressed = 0;

  constructor(
    private readonly write: (note: Note) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  note(note: Note): void {
    if (this.nowMs() - this.windowStartMs >= WINDOW_MS) this.beginWindow();
    this.notes += 1;
    if (this.notes <= NOTES_PER_WINDOW) this.write(note);
    else this.suppressed += 1;
  }

  private beginWindow(): void {
    if (this.suppressed > 0) this.write({ msg: `${this.suppressed} more notes were left out` });
    this.windowStartMs = this.nowMs();
    this.notes = 0;
    this.suppressed = 0;
  }
}
