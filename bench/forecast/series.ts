import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readTrace } from '#adapters/sources';

// What is forecast: each trace of a folder, and which of its buckets count.

const DAY_S = 86_400;
export const SEASONS_S = [DAY_S, 7 * DAY_S];
/** Of minutes: 5, 10 and 30; of longer buckets so many of them. */
const MINUTE_STEPS = [5, 10, 30];
const OTHER_STEPS = [1, 3, 6];

/** Arrivals per bucket, NaN where missing. */
export interface Series {
  name: string;
  file: string;
  startMs: number;
  bucketS: number;
  values: Float64Array;
  /** Horizons in buckets. */
  steps: number[];
}

/** Buckets that are scored: first ≤ target < end. Whatever a method chooses beforehand it chooses before `first`. */
export interface Part {
  first: number;
  end: number;
}

/** `test`: the last part. `validation`: what hyper-parameters may be chosen on. */
export const PARTS = ['test', 'validation'] as const;
export type PartName = (typeof PARTS)[number];

const TEST_FROM = 0.67;
const VALIDATION_FROM = 0.4;

export function partOf({ values }: Series, name: PartName): Part {
  const at = (share: number) => Math.ceil(share * values.length);
  if (name === 'test') return { first: at(TEST_FROM), end: values.length };
  return { first: at(VALIDATION_FROM), end: at(TEST_FROM) };
}

/** Buckets of a season, or of any other time. */
export function bucketsOf({ bucketS }: Pick<Series, 'bucketS'>, durationS: number): number {
  return Math.round(durationS / bucketS);
}

export function dayOf(series: Pick<Series, 'bucketS'>): number {
  return bucketsOf(series, DAY_S);
}

/** The traces that lie in a folder itself, by name. Throws on one that cannot be read. */
export async function readSeries(folder: string): Promise<Series[]> {
  const files = (await readdir(folder)).filter((file) => /\.csv(\.gz)?$/.test(file)).sort();
  const series: Series[] = [];
  for (const file of files) series.push(await readOne(join(folder, file), file.replace(/\.csv(\.gz)?$/, '')));
  return series;
}

async function readOne(file: string, name: string): Promise<Series> {
  const read = await readTrace(file);
  if (!read.ok) throw new Error(read.problem);
  const { startMs, stepMs, values } = read.trace;
  const bucketS = stepMs / 1000;
  return {
    name,
    file,
    startMs,
    bucketS,
    values: Float64Array.from(values, (value) => value ?? NaN),
    steps: bucketS === 60 ? MINUTE_STEPS : OTHER_STEPS,
  };
}
