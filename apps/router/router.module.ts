import { Module, type DynamicModule } from '@nestjs/common';
import { Router, type RouterOptions } from './router.js';

/** Starts to listen when the application has started, and is the first to stop: workers and sink must outlive it. */
@Module({})
export class RouterModule {
  static register(options: RouterOptions): DynamicModule {
    return {
      module: RouterModule,
      providers: [{ provide: Router, useFactory: () => new Router(options) }],
      exports: [Router],
    };
  }
}
