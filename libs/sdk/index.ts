export type { Handler, HandlerResult, Task } from './handler.js';
