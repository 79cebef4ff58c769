import { writeFileSync } from 'node:fs';
import { BAND_LEVELS, type HeadroomForecasts } from './headroom-forecasts.js';
import { bucketsOf, type Series } from './series.js';

// The mixture and what arrived, as SVG: a match day, a level that shifts, a pool that is on and off.

export interface Plot {
  /** Of the file, without its ending. */
  name: string;
  series: string;
  title: string;
  from: string;
  hours: number;
  /** Which of the horizons. */
  horizon: number;
}

export const PLOTS: Plot[] = [
  {
    name: 'forecast-match-day',
    series: 'web_worldcup98_1m',
    title: 'A day with matches, 10 minutes ahead',
    from: '1998-06-23T06:00:00Z',
    hours: 18,
    horizon: 1,
  },
  {
    name: 'forecast-level-shift',
    series: 'llm_mmid_client73_shift_10m',
    title: 'The level halves on the third day, 30 minutes ahead',
    from: '2025-04-06T00:00:00Z',
    hours: 72,
    horizon: 1,
  },
  {
    name: 'forecast-on-off',
    series: 'llm_mmid_client15_nightly_10m',
    title: 'On at night, off by day, 30 minutes ahead',
    from: '2025-04-11T12:00:00Z',
    hours: 72,
    horizon: 1,
  },
];

const [WIDTH, HEIGHT] = [960, 320];
const MARGIN = { left: 70, right: 10, top: 34, bottom: 28 };
const MOST_TICKS = 5;

interface Window {
  actual: Float64Array;
  /** At BAND_LEVELS. */
  bands: Float64Array[];
}

export function writePlot(
  folder: string,
  plot: Plot,
  made: { series: Series; own: HeadroomForecasts },
): void {
  const { series, own } = made;
  const from = Math.round((Date.parse(plot.from) - series.startMs) / 1000 / series.bucketS);
  const to = from + bucketsOf(series, plot.hours * 3600);
  const band = own.bands[plot.horizon] as Float64Array;
  const bands = BAND_LEVELS.map((_, level) =>
    Float64Array.from(
      { length: to - from },
      (_, i) => band[(from + i) * BAND_LEVELS.length + level] as number,
    ),
  );
  writeFileSync(
    `${folder}/${plot.name}.svg`,
    svgOf(plot, { actual: series.values.subarray(from, to), bands }),
  );
}

function svgOf({ title, from, hours }: Plot, { actual, bands }: Window): string {
  const greatest = Math.max(...[actual, ...bands].flatMap((line) => [...line].filter((y) => y === y)));
  const tick = tickOf(greatest);
  const top = tick * Math.ceil(greatest / tick);
  const x = (i: number) => MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * i) / (actual.length - 1);
  const y = (value: number) => HEIGHT - MARGIN.bottom - ((HEIGHT - MARGIN.top - MARGIN.bottom) * value) / top;
  const [low, middle, high] = bands as [Float64Array, Float64Array, Float64Array];
  const scale = { x, y };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${MARGIN.left}" y="20" font-size="14">${title}: arrivals per bucket, forecast median, 5–95 %</text>`,
    ...axes({ from, hours, tick, top, scale }),
    `<path d="${areaOf(low, high, scale)}" fill="#9ecae1" fill-opacity="0.6"/>`,
    `<path d="${lineOf(middle, scale)}" fill="none" stroke="#2171b5" stroke-width="1.2"/>`,
    `<path d="${lineOf(actual, scale)}" fill="none" stroke="#000000" stroke-width="0.9"/>`,
    '</svg>\n',
  ].join('\n');
}

/** The least of 1, 2, 5, 10, 20 … that needs no more than MOST_TICKS to reach the top. */
function tickOf(top: number): number {
  const power = 10 ** Math.floor(Math.log10(top / MOST_TICKS));
  return power * ([1, 2, 5, 10].find((step) => power * step * MOST_TICKS >= top) ?? 10);
}

interface Scale {
  x: (i: number) => number;
  y: (value: number) => number;
}

function lineOf(values: Float64Array, { x, y }: Scale): string {
  let path = '';
  let isDown = false;
  values.forEach((value, i) => {
    if (!Number.isNaN(value)) path += `${isDown ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    isDown = !Number.isNaN(value);
  });
  return path;
}

/** Gaps of the forecast are bridged: there are none but in long silence. */
function areaOf(low: Float64Array, high: Float64Array, { x, y }: Scale): string {
  const points = (values: Float64Array) =>
    [...values].flatMap((value, i) => (value === value ? [`${x(i).toFixed(1)} ${y(value).toFixed(1)}`] : []));
  return `M${[...points(high), ...points(low).reverse()].join('L')}Z`;
}

function axes({
  from,
  hours,
  tick,
  top,
  scale,
}: Pick<Plot, 'from' | 'hours'> & { tick: number; top: number; scale: Scale }): string[] {
  const grid = Array.from({ length: Math.round(top / tick) + 1 }, (_, i) => {
    const value = tick * i;
    const at = scale.y(value).toFixed(1);
    const label = value.toLocaleString('en', { maximumFractionDigits: 0 });
    return [
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}" stroke="#dddddd"/>`,
      `<text x="${MARGIN.left - 6}" y="${Number(at) + 4}" text-anchor="end">${label}</text>`,
    ];
  });
  const every = hours / 6;
  const times = Array.from({ length: 7 }, (_, i) => {
    const at = new Date(Date.parse(from) + i * every * 3_600_000).toISOString();
    const left = MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * i) / 6;
    const anchor = i === 6 ? 'end' : 'middle';
    return `<text x="${left.toFixed(1)}" y="${HEIGHT - 8}" text-anchor="${anchor}">${at.slice(5, 16).replace('T', ' ')}</text>`;
  });
  return [...grid.flat(), ...times];
}
