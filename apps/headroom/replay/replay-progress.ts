import type { PacedProgress, Trace } from '#adapters/sources';
import type { CommandContext } from '../commands/command-context.js';
import { latencyText } from './replay-summary.js';

/** Without a terminal (a log file, CI) one line this often, seconds. */
const LOG_EVERY_S = 10;

/** Progress on standard error: one line that replaces itself on a terminal, a line every 10 s elsewhere. */
export class ReplayProgress {
  private nextLogS = LOG_EVERY_S;
  private shown = false;

  constructor(
    private readonly output: CommandContext['progress'],
    private readonly plan: { plannedS: number; trace: Trace; speed: number },
  ) {}

  show(progress: PacedProgress): void {
    const line = this.lineOf(progress);
    if (this.output.isTerminal) {
      this.output.write(`\r\u001b[K${line}`);
      this.shown = true;
    } else if (progress.durationS >= this.nextLogS) {
      this.output.write(`${line}\n`);
      this.nextLogS += LOG_EVERY_S;
    }
  }

  /** Leaves the cursor on an empty line. */
  close(): void {
    if (this.shown) this.output.write('\r\u001b[K');
  }

  private lineOf({ durationS, sent, inFlight, latencyMs, skipped }: PacedProgress): string {
    const { plannedS, trace, speed } = this.plan;
    const atS = Math.min(durationS, plannedS);
    const recorded = new Date(trace.startMs + atS * 1000 * speed)
      .toISOString()
      .slice(0, 16)
      .replace('T', ' ');
    const percent = Math.floor((100 * atS) / plannedS);
    const missed = skipped === 0 ? '' : `, ${skipped} skipped`;
    return `${percent} %  ${recorded}  sent ${sent}, ${inFlight} in flight${missed}, ${latencyText(latencyMs)}`;
  }
}
