/** A handler that fails on every request must not fill the disk with its log. */
const LINES_PER_WINDOW = 20;
const WINDOW_MS = 10_000;

/** Passes on the first lines of every ten seconds and counts the rest. */
export class LimitedNotes {
  private windowStartMs = -Infinity;
  private lines = 0;
  private suppressed = 0;

  constructor(
    private readonly write: (line: string) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  note(line: string): void {
    if (this.nowMs() - this.windowStartMs >= WINDOW_MS) this.beginWindow();
    this.lines += 1;
    if (this.lines <= LINES_PER_WINDOW) this.write(line);
    else this.suppressed += 1;
  }

  private beginWindow(): void {
    if (this.suppressed > 0) this.write(`${this.suppressed} more lines were left out`);
    this.windowStartMs = this.nowMs();
    this.lines = 0;
    this.suppressed = 0;
  }
}
