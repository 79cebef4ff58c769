import { Transform } from 'node:stream';
import type { CommandContext } from '../commands/command-context.js';

/** Without a terminal (a log file, CI) one line this often, ms. */
const LOG_EVERY_MS = 10_000;
const SHOW_EVERY_MS = 200;
const MB = 1_000_000;

/** How many bytes have come through, on standard error: one line that replaces itself on a terminal. */
export class BackupProgress {
  bytes = 0;
  private shownMs = performance.now();
  private shown = false;

  constructor(
    private readonly output: CommandContext['progress'],
    private readonly what: string,
    private readonly totalBytes?: number,
  ) {}

  /** Passes a stream on and counts it. */
  counter(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.bytes += chunk.length;
        this.show();
        done(null, chunk);
      },
    });
  }

  /** Leaves the cursor on an empty line. */
  close(): void {
    if (this.shown) this.output.write('\r\u001b[K');
    this.shown = false;
  }

  private show(): void {
    const { isTerminal } = this.output;
    if (performance.now() - this.shownMs < (isTerminal ? SHOW_EVERY_MS : LOG_EVERY_MS)) return;
    this.shownMs = performance.now();
    const percent =
      this.totalBytes === undefined ? '' : `, ${Math.floor((100 * this.bytes) / this.totalBytes)} %`;
    const line = `${this.what} ${megabytes(this.bytes)}${percent}`;
    this.output.write(isTerminal ? `\r\u001b[K${line}` : `${line}\n`);
    this.shown = isTerminal;
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}
