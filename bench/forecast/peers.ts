import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SCORED_LEVELS } from '#domain/forecasting';
import { cacheFolder, fillCacheFolder } from '#parts/cache';
import { findCommand, run } from '#parts/command';
import { PROJECT_DIR } from '../report.js';
import { newRows, setRow, type QuantileRows } from './quantile-rows.js';
import { dayOf, type Part, type Series } from './series.js';

// Peers from PyPI: a script of ours forecasts with them, in a virtual environment that is made when it is missing. What
// it wrote is kept in the user's cache folder, by the content of trace and script and by the arguments.

const PEERS_DIR = join(PROJECT_DIR, 'bench', 'forecast', 'peers');
const SCRIPT = join(PEERS_DIR, 'forecast.py');
const REQUIREMENTS = join(PEERS_DIR, 'requirements.txt');
const INSTALL_WITHIN_MS = 20 * 60_000;
const RUN_WITHIN_MS = 6 * 3_600_000;

export interface Peer {
  name: string;
  /** Origins of a part that it forecasts from, at least; undefined: every one. */
  origins: number | undefined;
}

export const PEERS: Peer[] = [
  { name: 'LightGBM', origins: undefined },
  { name: 'AutoETS', origins: 120 },
  { name: 'AutoTheta', origins: 120 },
  { name: 'MSTL', origins: 60 },
];

export interface PeerForecasts {
  name: string;
  /** It forecasts from every so many origins. */
  every: number;
  /** Per horizon. */
  rows: QuantileRows[];
  msPerForecast: number;
}

/** k of "every k-th origin": no divisor of a day in common, so that all times of day come up. */
export function everyOf({ origins }: Peer, series: Series, { first, end }: Part): number {
  if (origins === undefined) return 1;
  let every = Math.max(1, Math.floor((end - first) / origins));
  while (greatestDivisor(every, dayOf(series)) > 1) every--;
  return every;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Runs a peer on a part of a series, or takes what it wrote before. undefined: not there, and `onlyCached`. */
export async function peerForecasts(
  peer: Peer,
  given: { series: Series; part: Part; onlyCached: boolean; say: (text: string) => void },
): Promise<PeerForecasts | undefined> {
  const { series, part, onlyCached, say } = given;
  const every = everyOf(peer, series, part);
  const wanted = { first: part.first, end: part.end, steps: series.steps.join(), every };
  const args = Object.entries(wanted).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const key = await keyOf(series.file, [peer.name, ...args]);
  const out = join(cacheFolder('forecast-peers', 'forecasts'), `${series.name}-${peer.name}-${key}.jsonl`);
  if (!existsSync(out)) {
    if (onlyCached) return undefined;
    say(`${series.name}: ${peer.name}, k = ${every} …\n`);
    await write(out, [peer.name, series.file, ...args], say);
  }
  const { msPerForecast } = JSON.parse(await readFile(`${out}.timing`, 'utf8')) as { msPerForecast: number };
  return { name: peer.name, every, rows: rowsOf(await readFile(out, 'utf8'), series, part), msPerForecast };
}

async function keyOf(trace: string, args: string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of [trace, SCRIPT, REQUIREMENTS]) hash.update(await readFile(file));
  return hash.update(JSON.stringify(args)).digest('hex').slice(0, 16);
}

/** A file is there when it is complete. */
async function write(out: string, args: string[], say: (text: string) => void): Promise<void> {
  await mkdir(dirname(out), { recursive: true });
  const part = `${out}.part`;
  let written = '';
  await run([await python(say), SCRIPT, ...args, '--out', part], {
    withinMs: RUN_WITHIN_MS,
    say: (text) => {
      written = (written + text).slice(-1000);
      if (text.includes('%')) say(text);
    },
  }).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}\n${written}`);
  });
  await writeFile(`${out}.timing`, written.split('\n').findLast((line) => line.startsWith('{')) ?? '');
  await rename(part, out);
}

/** The interpreter of the virtual environment, which is made first if it is missing. */
async function python(say: (text: string) => void): Promise<string> {
  const version = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex')
    .slice(0, 16);
  const folder = cacheFolder('forecast-peers', version);
  const interpreter = join(folder, 'bin', 'python');
  if (existsSync(interpreter)) return interpreter;
  const system = findCommand('python3');
  if (system === undefined) throw new Error('peers: python3 must be on PATH to run them, got none');
  say('peers: installing …\n');
  await fillCacheFolder(folder, async (into) => {
    const withinMs = INSTALL_WITHIN_MS;
    await run([system, '-m', 'venv', into], { withinMs });
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await run([join(into, 'bin', 'python'), ...install, '-r', REQUIREMENTS], { withinMs });
  });
  return interpreter;
}

interface Line {
  origin: string;
  horizonS: number;
  q: Record<string, number>;
}

/** Reads forecasts in the published format. */
export function rowsOf(text: string, series: Series, part: Part): QuantileRows[] {
  const { startMs, bucketS, steps } = series;
  const rows = steps.map(() => newRows(part));
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const { origin, horizonS, q } = JSON.parse(line) as Line;
    const horizon = steps.indexOf(Math.round(horizonS / bucketS));
    if (horizon === -1 || SCORED_LEVELS.some((level) => q[level] === undefined)) continue;
    const target = Math.round((Date.parse(origin) - startMs) / 1000 / bucketS) + (steps[horizon] as number);
    setRow(rows[horizon] as QuantileRows, { part, target, at: (level) => q[level] as number });
  }
  return rows;
}
