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
  observer: {
    progress(pool: string, progress: PacedProgress): void;
    failed(pool: string, error: Error): void;
  };
}

/** Sends the declared loads, each from a thread of its own, from the moment everything runs. */
class DeclaredSources implements OnApplicationBootstrap, OnModuleDestroy {
  private running: PacedRequests[] = [];

  constructor(private readonly options: SourcesModuleOptions) {}

  onApplicationBootstrap(): void {
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

  async onModuleDestroy(): Promise<void> {
    await Promise.allSettled(this.running.map((requests) => requests.stop()));
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
