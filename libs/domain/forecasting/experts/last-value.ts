import { rootAt } from '../history.js';
import type { Expert } from './outlook.js';

/** The last known bucket goes on: at one or two minutes ahead nothing beats it by much. */
export const lastValue: Expert = {
  name: 'last',
  reactive: true,
  point: ({ history, origin }) => rootAt(history, Math.min(origin, history.lastKnown)),
};
