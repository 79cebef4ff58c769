import { Module, type BeforeApplicationShutdown, type DynamicModule } from '@nestjs/common';
import { ServedFleet, type Fleet } from '#adapters/fleet';
import { FleetController } from './fleet.controller.js';

/** Ends the questions that wait: after the workers have left, of which followers still learn, and before the API closes. */
class FollowersLast implements BeforeApplicationShutdown {
  constructor(private readonly served: ServedFleet) {}

  beforeApplicationShutdown(): void {
    this.served.close();
  }
}

/** Serves the fleet of this process to others. */
@Module({})
export class FleetModule {
  static register({ fleet }: { fleet: Fleet }): DynamicModule {
    return {
      module: FleetModule,
      controllers: [FleetController],
      providers: [
        { provide: ServedFleet, useFactory: () => new ServedFleet(fleet) },
        {
          provide: FollowersLast,
          inject: [ServedFleet],
          useFactory: (served: ServedFleet) => new FollowersLast(served),
        },
      ],
    };
  }
}
