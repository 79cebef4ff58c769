import type { FleetObserver } from '#adapters/fleet';

/** Worker time from the order of each worker to the end of its process. Times are epoch ms. */
export class PaidTime {
  private readonly workers = new Map<string, { orderedMs: number; endedMs: number | undefined }>();
  readonly leadTimesS: number[] = [];
  crashes = 0;

  constructor(private readonly nowMs: () => number) {}

  /** Listens to a fleet's observer, which goes on observing. */
  listen(observer: FleetObserver): void {
    const { started, ready, crashed, stopped } = observer;
    observer.started = (worker) => {
      this.workers.set(worker.workerId, { orderedMs: this.nowMs(), endedMs: undefined });
      started(worker);
    };
    observer.ready = (worker) => {
      this.leadTimesS.push(worker.leadTimeS);
      ready(worker);
    };
    observer.crashed = (worker) => {
      this.crashes++;
      this.end(worker.workerId);
      crashed(worker);
    };
    observer.stopped = (worker) => {
      this.end(worker.workerId);
      stopped(worker);
    };
  }

  /** Worker-seconds paid between two times. */
  between({ fromMs, toMs }: { fromMs: number; toMs: number }): number {
    let paidMs = 0;
    for (const { orderedMs, endedMs = toMs } of this.workers.values())
      paidMs += Math.max(0, Math.min(endedMs, toMs) - Math.max(orderedMs, fromMs));
    return paidMs / 1000;
  }

  private end(workerId: string): void {
    const worker = this.workers.get(workerId);
    if (worker !== undefined) worker.endedMs = this.nowMs();
  }
}
