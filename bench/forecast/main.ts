// npm run bench:forecast -- --traces FOLDER [--part test|validation] [--quick] [--peers run|cached|none] [--docs]
// Rolling-origin forecasts of recorded load by each expert, the mixture, and peers, all scored on the same buckets.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { PROJECT_DIR, progress, publish } from '../report.js';
import { cellsOf, SEED, type Cell } from './cells.js';
import { MIXTURE } from './headroom-forecasts.js';
import { peerForecasts, PEERS, type PeerForecasts } from './peers.js';
import { PLOTS, writePlot } from './plots.js';
import { partOf, PARTS, readSeries, type Series } from './series.js';
import { geometricMean } from './scores.js';
import { mixtureTable, ratioTable, targetTable } from './summary.js';

const USAGE = 2;
/** --quick leaves out longer series, and the peers. */
const QUICK_BUCKETS = 5_000;
const PEER_MODES = ['run', 'cached', 'none'];

const { values } = parseArgs({
  options: {
    traces: { type: 'string' },
    part: { type: 'string', default: 'test' },
    quick: { type: 'boolean', default: false },
    peers: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
});

function refuse(rule: string, actual: string | undefined): never {
  progress(`bench:forecast: ${rule}, got ${actual ?? 'nothing'}`);
  process.exit(USAGE);
}

const folder = values.traces ?? refuse('--traces must be a folder of traces', values.traces);
const partName =
  PARTS.find((name) => name === values.part) ?? refuse(`--part of ${PARTS.join()}`, values.part);
const peerMode = values.peers ?? (values.quick ? 'none' : 'run');
if (!PEER_MODES.includes(peerMode)) refuse(`--peers of ${PEER_MODES.join()}`, peerMode);
if (values.docs && (values.quick || partName !== 'test'))
  refuse('--docs goes with the whole test', `--part ${partName}${values.quick ? ' --quick' : ''}`);

const series = (await readSeries(folder)).filter((one) => !values.quick || one.values.length < QUICK_BUCKETS);
if (series.length === 0) refuse('--traces must be a folder of traces', folder);

/** Peer by peer, short series first: what is there can be looked at while the slow ones run. */
async function forecastsOfPeers(): Promise<Map<Series, PeerForecasts[]>> {
  const made = new Map(series.map((one): [Series, PeerForecasts[]] => [one, []]));
  if (peerMode === 'none') return made;
  const say = (text: string) => void process.stderr.write(text);
  const shortFirst = series.toSorted((one, other) => one.values.length - other.values.length);
  for (const peer of PEERS) {
    for (const one of shortFirst) {
      const given = { series: one, part: partOf(one, partName), onlyCached: peerMode === 'cached', say };
      const forecasts = await peerForecasts(peer, given);
      if (forecasts !== undefined) made.get(one)?.push(forecasts);
    }
  }
  return made;
}

const peers = await forecastsOfPeers();
const cells: Cell[] = [];
let stateBytes = 0;
for (const one of series) {
  const part = partOf(one, partName);
  const scored = cellsOf(one, part, peers.get(one) ?? []);
  cells.push(...scored.cells);
  if (one.bucketS === 60) stateBytes = scored.own.stateBytes;
  for (const plot of PLOTS.filter((plot) => values.docs && plot.series === one.name))
    writePlot(join(PROJECT_DIR, 'docs', 'benchmarks'), plot, { series: one, own: scored.own });
  const ratios = scored.cells.filter(({ method }) => method === MIXTURE).map(({ ratio }) => ratio);
  progress(
    `${one.name}: the mixture has ${geometricMean(ratios).toFixed(3)} of the raw seasonal naive's WQL`,
  );
}

const kept = { part: partName, seed: SEED, cells };
progress(`bootstrap seed ${SEED}`);
publish(
  {
    name: 'forecast',
    table: targetTable(cells, { stateBytes: stateBytes || NaN }),
    more: [
      {
        about: 'WQL ÷ that of the raw seasonal naive, geometric means over the horizons:',
        table: ratioTable(cells),
      },
      {
        about:
          'The mixture, series by series; the last three columns are the share of arrivals below the quantile, and not above it where ties make a difference, in percent:',
        table: mixtureTable(cells),
      },
    ],
    runs: kept,
  },
  { docs: values.docs },
);
