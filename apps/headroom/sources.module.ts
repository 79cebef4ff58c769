import { setTimeout as delay } from 'node:timers/promises';
import {
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import {
  startSyntheticSource,
  type PacedProgress,
  type PacedRequests,
  type SyntheticSource,
} from '#adapters/sources';

export interface DeclaredSource {
  pool: string;
  source: SyntheticSource;
  /** Where a request of the pool goes. */
  url: string;
  objectiveMs: number;
}

export interface SourcesModuleOptions {
  sources: DeclaredSource[];
  /** True when the pools can serve. */
  ready(): Promise<boolean>;
  observer: {
    progress(pool: string, progress: PacedProgress): void;
    failed(pool: string, error: Error): void;
  };
}

/** A load that starts before the workers would only be rejected; after this long it starts all the same. */
const READY_WITHIN_MS = 30_000;
const READY_POLL_MS = 50;

/** Sends the declared loads, each from a thread of its own, from the moment the pools can serve. */
class DeclaredSources implements OnApplicationBootstrap, OnModuleDestroy {
  private running: PacedRequests[] = [];
  private readonly stopping = new AbortController();
  private starting: Promise<void> = Promise.resolve();

  constructor(private readonly options: SourcesModuleOptions) {}

  onApplicationBootstrap(): void {
    this.starting = this.startWhenReady();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.starting;
    await Promise.allSettled(this.running.map((requests) => requests.stop()));
  }

  private async startWhenReady(): Promise<void> {
    const { signal } = this.stopping;
    const latestMs = performance.now() + READY_WITHIN_MS;
    while (!signal.aborted && performance.now() < latestMs && !(await this.options.ready()))
      await delay(READY_POLL_MS, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) this.start();
  }

  private start(): void {
    const { sources, observer } = this.options;
    this.running = sources.map(({ pool, ...source }) => {
      const requests = startSyntheticSource({
        ...source,
        onProgress: (progress) => observer.progress(pool, progress),
      });
      requests.ended.then(
        // What was sent since the last progress counts too.
        ({ summary }) => observer.progress(pool, summary),
        (error: Error) => observer.failed(pool, error),
      );
      return requests;
    });
  }
}

@Module({})
export class SourcesModule {
  static register(options: SourcesModuleOptions): DynamicModule {
    return {
      module: SourcesModule,
      providers: [{ provide: DeclaredSources, useFactory: () => new DeclaredSources(options) }],
    };
  }
}
