import type { EventLog } from '#adapters/event-log';
import { BufferedSink, type SinkLimits } from './buffered-sink.js';
import type { EventSinkObserver } from './event-sink.js';

/** Straight into the event log: for a service that lives where the log is. The key is the execution id. */
export class LogSink extends BufferedSink {
  constructor(given: {
    log: Pick<EventLog, 'append'>;
    observer: EventSinkObserver;
    topic?: string;
    limits?: Partial<SinkLimits>;
  }) {
    const { log, topic = 'executions.v1' } = given;
    super(
      async (batch) => {
        await log.append(
          topic,
          batch.map(({ executionId, json }) => ({ key: executionId, value: json })),
        );
        return 'acknowledged';
      },
      given.observer,
      given.limits,
    );
  }
}
