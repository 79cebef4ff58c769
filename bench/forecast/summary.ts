import type { Cell, Kind } from './cells.js';
import { MIXTURE } from './headroom-forecasts.js';
import { geometricMean } from './scores.js';

type Table = (string | number)[][];

/** The row of a table that a cell belongs to, in the order of appearance. */
export function methodsOf(cells: readonly Cell[]): string[] {
  return [...new Set(cells.map(({ method }) => method))];
}

export function seriesOf(cells: readonly Cell[]): string[] {
  return [...new Set(cells.map(({ series }) => series))];
}

/** `web_nasa_http_1m` → `nasa http`: without its kind and its step. */
const shortName = (series: string) => series.split('_').slice(1, -1).join(' ');

/** WQL relative to the raw seasonal naive: per method and series the geometric mean over horizons. */
export function ratioTable(cells: readonly Cell[]): Table {
  const series = seriesOf(cells);
  const rows = methodsOf(cells).map((method) => {
    const own = cells.filter((cell) => cell.method === method);
    const perSeries = series.map((name) => meanRatio(own.filter((cell) => cell.series === name)));
    return [method, ...perSeries, meanRatio(own), ...figuresOf(own)];
  });
  const figures = ['mixture ÷ it', 'MASE', 'calibrated, %', '.9', '.95', '.99', 'ms', 'every'];
  return [['method', ...series.map(shortName), 'all', ...figures], ...rows];
}

function meanRatio(cells: readonly Cell[]): string {
  return cells.length === 0 ? '–' : geometricMean(cells.map(({ ratio }) => ratio)).toFixed(3);
}

function figuresOf(cells: readonly Cell[]): string[] {
  const every = cells.map((cell) => cell.every);
  const [least, most] = [Math.min(...every), Math.max(...every)];
  const ms = meanOf(cells.flatMap(({ msPerForecast }) => msPerForecast ?? []));
  return [
    geometricMean(cells.map(({ mixtureRatio }) => mixtureRatio)).toFixed(3),
    geometricMean(cells.map(({ mase }) => mase)).toFixed(3),
    percent(calibratedShare(cells)),
    ...[0.9, 0.95, 0.99].map((level) => percent(calibratedShare(cells, level))),
    Number.isNaN(ms) ? '–' : ms.toFixed(2),
    least === most ? String(least) : `${least}–${most}`,
  ];
}

const percent = (share: number) => (100 * share).toFixed(0);

/** Share of the cells (series × horizon × level) that are calibrated. */
export function calibratedShare(cells: readonly Cell[], level?: number): number {
  const covered = cells
    .flatMap(({ coverage }) => coverage)
    .filter((one) => level === undefined || one.level === level);
  return meanOf(covered.map(({ calibrated }) => (calibrated ? 1 : 0)));
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Every series and horizon of the mixture. */
export function mixtureTable(cells: readonly Cell[]): Table {
  const head = [
    'series',
    'horizon',
    'WQL',
    '÷ raw seasonal naive',
    'best single',
    'mixture ÷ best',
    'MASE',
    '.9',
    '.95',
    '.99',
  ];
  const rows = cells
    .filter(({ method }) => method === MIXTURE)
    .map(({ series, horizonS, wql, ratio, mase, coverage }) => {
      const best = bestSingle(cells.filter((cell) => cell.series === series && cell.horizonS === horizonS));
      return [
        series,
        `${horizonS / 60} min`,
        wql.toFixed(4),
        ratio.toFixed(3),
        best.method,
        (wql / best.wql).toFixed(3),
        mase.toFixed(3),
        ...coverage.map(
          ({ below, atMost, calibrated }) => `${sharesOf(below, atMost)}${calibrated ? '' : ' ✗'}`,
        ),
      ];
    });
  return [head, ...rows];
}

/** What was below and what was not above, in percent; one number where no ties tell them apart. */
function sharesOf(below: number, atMost: number): string {
  const [low, high] = [below, atMost].map((share) => (100 * share).toFixed(1));
  return low === high ? String(low) : `${low}–${high}`;
}

/** Who can be the best single one: peers forecast from fewer origins, or are compared on their own. */
const SINGLE: Kind[] = ['expert', 'opponent'];

function bestSingle(cells: readonly Cell[]): Cell {
  return cells
    .filter(({ kind }) => SINGLE.includes(kind))
    .reduce((best, cell) => (cell.wql < best.wql ? cell : best));
}

/** Mixture ÷ the single one of these kinds that was best on a series, in hindsight: geometric means over horizons. */
function againstBest(cells: readonly Cell[], { series, kinds }: { series: string; kinds: Kind[] }): number {
  const own = cells.filter((cell) => cell.series === series);
  const mean = (method: string) =>
    geometricMean(own.filter((cell) => cell.method === method).map(({ wql }) => wql));
  const singles = methodsOf(own.filter(({ kind }) => kinds.includes(kind)));
  return mean(MIXTURE) / Math.min(...singles.map(mean));
}

interface Target {
  what: string;
  most?: number;
  least?: number;
  got: number;
  digits: number;
}

/** What is pursued; missing figures (a peer that did not run, a series that is not there) are left out. */
export function targetTable(cells: readonly Cell[], { stateBytes }: { stateBytes: number }): Table {
  const rows = targetsOf(cells, stateBytes)
    .filter(({ got }) => !Number.isNaN(got))
    .map(({ what, most, least, got, digits }) => {
      const isMet = got <= (most ?? Infinity) && got >= (least ?? -Infinity);
      const target = most === undefined ? `≥ ${least}` : `≤ ${most}`;
      return [what, target, got.toFixed(digits), isMet ? 'met' : 'missed'];
    });
  return [['target', 'wanted', 'measured', ''], ...rows];
}

function targetsOf(cells: readonly Cell[], stateBytes: number): Target[] {
  const of = (method: string) => cells.filter((cell) => cell.method === method);
  const mixture = of(MIXTURE);
  const series = seriesOf(cells);
  const best = (kinds: Kind[]) => series.map((name) => againstBest(cells, { series: name, kinds }));
  const worldCup = mixture.filter(({ series }) => series.includes('worldcup98'));
  const mean = (ratios: number[]) => (ratios.length === 0 ? NaN : geometricMean(ratios));
  return [
    {
      what: `mixture ÷ LightGBM, WQL${seriesOf(of('LightGBM')).length === series.length ? '' : ' (some series)'}`,
      most: 0.95,
      got: mean(of('LightGBM').map(({ mixtureRatio }) => mixtureRatio)),
      digits: 3,
    },
    {
      what: 'mixture ÷ raw seasonal naive, WQL',
      most: 0.6,
      got: mean(mixture.map(({ ratio }) => ratio)),
      digits: 3,
    },
    ...[
      { whom: 'best single expert', kinds: ['expert'] satisfies Kind[] },
      { whom: 'best of experts and simple opponents', kinds: SINGLE },
    ].flatMap(({ whom, kinds }) => [
      { what: `mixture ÷ the ${whom} of each series, WQL`, most: 0.92, got: mean(best(kinds)), digits: 3 },
      { what: 'the same, on the worst series', most: 1.03, got: Math.max(...best(kinds)), digits: 3 },
    ]),
    { what: 'calibrated cells, %', least: 90, got: 100 * calibratedShare(mixture), digits: 1 },
    ...[0.026, 0.036, 0.068].map((most, i) => ({
      what: `WQL of the World Cup, ${[5, 10, 30][i]} min`,
      most,
      got: worldCup[i]?.wql ?? NaN,
      digits: 4,
    })),
    {
      what: 'ms per forecast of all horizons, the slowest series',
      most: 1,
      got: Math.max(...mixture.map(({ msPerForecast }) => msPerForecast ?? NaN)),
      digits: 2,
    },
    {
      what: 'KB of state per pool of minutes with a week of season',
      most: 64,
      got: stateBytes / 1024,
      digits: 1,
    },
  ];
}
