import { meanBetween, meanUpTo } from '../history.js';
import type { Season } from '../settings.js';
import type { Expert, Outlook } from './outlook.js';

/** A past season changes √arrivals by at most this factor from now to the target: 64× in arrivals. */
const MAX_ROOT_RATIO = 8;

/**
 * How the past seasons went on from this time of theirs, applied to the level of now: right about the shape where the
 * plain seasonal value is wrong about the size. What happened in one season only is voted out by the others.
 */
export function seasonalShape(season: Season): Expert {
  return {
    name: `shape-${season.seasonS}`,
    reactive: false,
    point: (outlook) => shapePoint(outlook, season),
  };
}

/** NaN without a past season. The +1 keeps ratios of near-zero levels sane. */
export function shapePoint(outlook: Outlook, season: Season): number {
  const ratio = acrossSeasons(outlook, season, (seasonsAgo) => {
    const then = levelThen(outlook, season, seasonsAgo);
    return (targetThen(outlook, season, seasonsAgo) + 1) / (then + 1);
  });
  const bounded = Math.min(MAX_ROOT_RATIO, Math.max(1 / MAX_ROOT_RATIO, ratio));
  return Math.max(0, (outlook.level + 1) * bounded - 1);
}

/** √arrivals usual at the time of the target; NaN without a past season. */
export function usualPoint(outlook: Outlook, season: Season): number {
  return acrossSeasons(outlook, season, (seasonsAgo) => targetThen(outlook, season, seasonsAgo));
}

/** Mean around the bucket so many seasons before the target, never reading beyond the origin. */
function targetThen(
  { history, origin, steps, windows }: Outlook,
  season: Season,
  seasonsAgo: number,
): number {
  const centre = origin + steps - seasonsAgo * season.buckets;
  const reach = Math.floor(windows.shape / 2);
  return meanBetween(history, { from: centre - reach, to: Math.min(centre + reach, origin) });
}

function levelThen({ history, origin, windows }: Outlook, season: Season, seasonsAgo: number): number {
  return meanUpTo(history, { last: origin - seasonsAgo * season.buckets, buckets: windows.level });
}

/** Median over the past seasons that are known (of two: their mean). */
function acrossSeasons({ steps }: Outlook, season: Season, pick: (seasonsAgo: number) => number): number {
  const latest = Math.ceil(steps / season.buckets);
  const first = pick(latest);
  if (season.copies === 1) return first;
  const second = pick(latest + 1);
  const third = season.copies > 2 ? pick(latest + 2) : NaN;
  return medianOfKnown(first, second, third);
}

function medianOfKnown(a: number, b: number, c: number): number {
  if (Number.isNaN(a)) return meanOfKnown(b, c);
  if (Number.isNaN(b)) return meanOfKnown(a, c);
  if (Number.isNaN(c)) return (a + b) / 2;
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

function meanOfKnown(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) ? a : (a + b) / 2;
}
