/** At most one report per reason in this time, however many events are dropped. */
const REPORT_EVERY_MS = 1_000;

/** Sums up dropped events: each is counted, not each is a message. */
export class DropReports<Reason extends string> {
  private readonly sums = new Map<Reason, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly report: (drop: { events: number; reason: Reason }) => void) {}

  add(events: number, reason: Reason): void {
    this.sums.set(reason, (this.sums.get(reason) ?? 0) + events);
    this.timer ??= setTimeout(() => this.flush(), REPORT_EVERY_MS);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const [reason, events] of this.sums) this.report({ reason, events });
    this.sums.clear();
  }
}
