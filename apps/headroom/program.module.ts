import { Module, type BeforeApplicationShutdown, type DynamicModule } from '@nestjs/common';
import { BackupController, BackupSource } from './backup/backup.controller.js';
import type { Parts } from './parts.js';
import { SystemController, SystemState } from './system.controller.js';

/** Drains the workers when nothing sends requests any more, and while the API still takes their last events. */
class WorkersLast implements BeforeApplicationShutdown {
  constructor(private readonly parts: Pick<Parts, 'closeFleet'>) {}

  async beforeApplicationShutdown(): Promise<void> {
    await this.parts.closeFleet();
  }
}

@Module({})
export class ProgramModule {
  static register(options: {
    parts: Parts;
    targets: DynamicModule[];
    state: SystemState;
    hasStore: boolean;
  }): DynamicModule {
    const { parts, targets, state, hasStore } = options;
    return {
      module: ProgramModule,
      imports: targets,
      controllers: [SystemController, ...(hasStore ? [BackupController] : [])],
      providers: [
        { provide: SystemState, useValue: state },
        { provide: BackupSource, useFactory: () => new BackupSource(() => parts.backup()) },
        { provide: WorkersLast, useFactory: () => new WorkersLast(parts) },
      ],
    };
  }
}
