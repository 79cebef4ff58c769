export type { EventSink, EventSinkObserver } from './event-sink.js';
