import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { TOPIC } from './setting.js';

/** The opponent: events one by one, parsed by the framework. */
@Controller()
export class HandledController {
  static events = 0;

  @EventPattern(TOPIC)
  take(@Payload() event: { data?: unknown }): void {
    if (event.data !== undefined) HandledController.events++;
  }
}
