import { Transform } from 'node:stream';
import type { CommandContext } from '../commands/command-context.js';
import { ProgressLine } from '../progress-line.js';

const MB = 1_000_000;

/** How many bytes have come through. */
export class BackupProgress {
  bytes = 0;
  private readonly line: ProgressLine;

  constructor(
    output: CommandContext['progress'],
    private readonly what: string,
    private readonly totalBytes?: number,
  ) {
    this.line = new ProgressLine(output);
  }

  /** Passes a stream on and counts it. */
  counter(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.bytes += chunk.length;
        this.line.show(() => this.text());
        done(null, chunk);
      },
    });
  }

  close(): void {
    this.line.close();
  }

  private text(): string {
    const { bytes, totalBytes, what } = this;
    const percent = totalBytes === undefined ? '' : `, ${Math.floor((100 * bytes) / totalBytes)} %`;
    return `${what} ${megabytes(bytes)}${percent}`;
  }
}

export function megabytes(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}
