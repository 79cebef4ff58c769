export { Loop, type LoopObserver, type LoopOptions } from './loop.js';
