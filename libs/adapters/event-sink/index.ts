export type { EventSink, EventSinkObserver } from './event-sink.js';
export { HttpSink } from './http-sink.js';
export { LogSink } from './log-sink.js';
