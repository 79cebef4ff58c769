import type { Score } from './score.js';
import type { TunedHpa } from './hpa-tuning.js';
import type { System } from './setting.js';

export interface Cell {
  system: System;
  seed: number;
}

/** What a decision saw and said, at one tick of the scored time. */
export interface Tick {
  /** From the first scored second. */
  atS: number;
  ratePerS: number | undefined;
  backlog: number | undefined;
  /** Age of the newest counted bucket's end. */
  viewAgeS: number | undefined;
  neededNow: number | undefined;
  pricedLevel: number | undefined;
  pricedHorizonS: number | undefined;
  /** What the system under test asked the fleet for. */
  desired: number;
  ready: number;
  starting: number;
  draining: number;
  reason: string;
}

export interface CellResult {
  cell: Cell;
  /** Of settings and code: a result with another key is not reused. */
  key: string;
  atIso: string;
  score: Score;
  workerSeconds: number;
  tuned: TunedHpa | undefined;
  eventLoopDelayMs: { p50: number; p99: number; max: number };
  leadTimesS: number[];
  crashes: number;
  /** 1-minute load average of the machine before and after. */
  loadAverage: [number, number];
  /** CPU seconds of the program's process, its sender thread included, in the scored time. */
  cpuS: number;
  ticks: Tick[];
}
