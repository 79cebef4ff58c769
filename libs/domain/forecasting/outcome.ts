import { updateOffsets } from './calibration.js';
import { learnRidge } from './experts/ridge.js';
import { LEVELS } from './forecast.js';
import type { ForecastMemory, HorizonMemory } from './memory.js';
import { updateLosses } from './mixture.js';
import { fromRoot } from './scale.js';
import { pinballLoss, SCORED_LEVELS } from './scores.js';
import { expertRoot, outlookAt, rowAt, type Stage } from './stage.js';
import { updateSpread } from './spread.js';

/** Errors are forgotten by half in a season, but never faster than this: tails need many. */
const ERROR_HALF_LIFE_SEASONS = 1;
const MIN_ERROR_HALF_LIFE_BUCKETS = 600;

const SCORED = SCORED_LEVELS.map((level) => ({ level, index: LEVELS.indexOf(level) }));

/**
 * The next bucket has arrived (√arrivals, known; not in history yet): every forecast of it, each from as many buckets ago
 * as it looked ahead, is scored and learned from. This is the only place where outcomes meet forecasts.
 */
export function learnOutcome(root: number, stage: Stage, memory: ForecastMemory): void {
  for (const horizon of memory.horizons) {
    const origin = memory.history.end - horizon.steps;
    if (origin < 0) continue;
    learnRidge(outlookAt(origin, horizon, { layout: stage.layout, memory }), root, stage.layout);
    const row = rowAt(horizon, origin, stage.row);
    if (Number.isNaN(horizon.pending[row + stage.row.issued])) continue;
    scoreExperts(root, row, { stage, horizon });
    learnErrors(root, row, { stage, horizon });
    const issuedFrom = row + stage.row.issued;
    updateOffsets(horizon.offsets, {
      steps: horizon.steps,
      missed: (calibrated) => root > (horizon.pending[issuedFrom + calibrated] as number),
    });
  }
}

function scoreExperts(root: number, row: number, { stage, horizon }: Scoring): void {
  const { losses } = stage;
  for (let expert = 0; expert < losses.length; expert++) {
    losses[expert] = Number.isNaN(pointOf(horizon, { expert, row }))
      ? NaN
      : lossOf(root, { expert, row, stage, horizon });
  }
  updateLosses(horizon.losses, losses, stage.layout.seasonBuckets);
}

function learnErrors(root: number, row: number, { stage, horizon }: Scoring): void {
  const halfLife = Math.max(
    ERROR_HALF_LIFE_SEASONS * stage.layout.seasonBuckets,
    MIN_ERROR_HALF_LIFE_BUCKETS,
  );
  const keep = 0.5 ** (1 / halfLife);
  for (let expert = 0; expert < stage.experts.length; expert++) {
    const point = pointOf(horizon, { expert, row });
    if (!Number.isNaN(point)) updateSpread(horizon.spread, { expert, point, root, keep });
  }
}

interface Scoring {
  stage: Stage;
  horizon: HorizonMemory;
}

function pointOf(horizon: HorizonMemory, { expert, row }: { expert: number; row: number }): number {
  return horizon.pending[row + expert] as number;
}

function lossOf(
  root: number,
  { expert, row, stage, horizon }: Scoring & { expert: number; row: number },
): number {
  const { external } = stage.row;
  const actual = fromRoot(root);
  let loss = 0;
  for (const { level, index } of SCORED) {
    const value = fromRoot(expertRoot(horizon, { expert, level: index, row, external }));
    loss += pinballLoss({ level, value }, actual);
  }
  return loss;
}
