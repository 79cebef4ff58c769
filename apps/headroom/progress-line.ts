import type { CommandContext } from './commands/command-context.js';

/** Without a terminal (a log file, CI) one line this often, ms. */
const LOG_EVERY_MS = 10_000;
const SHOW_EVERY_MS = 200;

/** How far a command is, on standard error: one line that replaces itself on a terminal, a line now and then elsewhere. */
export class ProgressLine {
  private shownMs = performance.now();
  private shown = false;

  constructor(private readonly output: CommandContext['progress']) {}

  show(line: () => string): void {
    const { isTerminal } = this.output;
    if (performance.now() - this.shownMs < (isTerminal ? SHOW_EVERY_MS : LOG_EVERY_MS)) return;
    this.shownMs = performance.now();
    this.output.write(isTerminal ? `\r\u001b[K${line()}` : `${line()}\n`);
    this.shown = isTerminal;
  }

  /** Leaves the cursor on an empty line. */
  close(): void {
    if (this.shown) this.output.write('\r\u001b[K');
    this.shown = false;
  }
}
