import { LEVELS } from './forecast.js';

// Upper quantiles are corrected by their own hit rate: each miss raises a level, each hit lowers it a little, so that in
// the long run a share τ lies at or below it whatever the errors are (adaptive conformal inference, Gibbs & Candès 2021;
// quantile tracking, arXiv 2307.16895). Feedback is as late as the outcome.

/** Levels from here up are calibrated: the ones that decide how many workers there are. */
const CALIBRATED_FROM = 0.9;
export const FIRST_CALIBRATED = LEVELS.findIndex((level) => level >= CALIBRATED_FROM);
export const CALIBRATED = LEVELS.length - FIRST_CALIBRATED;

const GAIN = 0.02;
/** Outcomes of forecasts more than this many steps ahead overlap, so each says less. */
const FULL_GAIN_STEPS = 3;
/** Misses of .999 are rare: with the gain of .9 it would need weeks to move. Steps grow as √(.1 ÷ (1 − τ)), up to 10×. */
const LEVEL_GAINS = LEVELS.slice(FIRST_CALIBRATED).map(
  (level) => GAIN * Math.sqrt((1 - CALIBRATED_FROM) / (1 - level)),
);
/** Corrections stay within this many mean errors. */
const MAX_OFFSET = 6;

/** Takes an outcome, in place. Offsets and `missed` are per calibrated level; offsets in mean errors. */
export function updateOffsets(
  offsets: Float64Array,
  { steps, missed }: { steps: number; missed: (calibrated: number) => boolean },
): void {
  const slowness = Math.min(1, FULL_GAIN_STEPS / steps);
  LEVEL_GAINS.forEach((gain, i) => {
    const share = 1 - (LEVELS[FIRST_CALIBRATED + i] as number);
    const moved = (offsets[i] as number) + gain * slowness * ((missed(i) ? 1 : 0) - share);
    offsets[i] = Math.max(-MAX_OFFSET, Math.min(MAX_OFFSET, moved));
  });
}
