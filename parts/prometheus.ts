import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findCommand, run } from './command.js';
import { freePorts } from './free-ports.js';
import { installedPart, printedVersion } from './installed.js';
import { PartMissing } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// Prometheus and promtool as the system has them.

const OLDEST = '2.42';
const IMPORT_WITHIN_MS = 120_000;
const locate = () => (findCommand('promtool') === undefined ? undefined : findCommand('prometheus'));

export const part = installedPart({
  name: 'prometheus',
  locate,
  version: printedVersion,
  oldest: OLDEST,
  packages: ['prometheus'],
});

export interface PrometheusOptions {
  /** What prometheus.yml says. */
  config?: object;
  /** Beside ours, for example `--web.enable-remote-write-receiver`. */
  flags?: readonly string[];
  /** Samples with times in the past, in OpenMetrics text (it ends with `# EOF`); there from the start. */
  history?: string;
}

export interface Prometheus extends ServerProcess {
  /** http://… */
  url: string;
}

export async function startPrometheus(options: PrometheusOptions = {}): Promise<Prometheus> {
  const program = locate();
  if (program === undefined) throw new PartMissing(`Prometheus ${OLDEST} or newer, with promtool`);
  const folder = await ServerFolder.create('prometheus');
  const [config, data] = [join(folder.path, 'prometheus.yml'), join(folder.path, 'data')];
  await writeFile(config, JSON.stringify(options.config ?? {})); // JSON is YAML
  if (options.history !== undefined) await folder.fill(() => importHistory(options.history as string, data));
  const [port] = (await freePorts(1)) as [number];
  const url = `http://127.0.0.1:${port}`;
  const server = await ServerProcess.start({
    name: 'prometheus',
    folder,
    command: [
      program,
      `--config.file=${config}`,
      `--storage.tsdb.path=${data}`,
      `--web.listen-address=127.0.0.1:${port}`,
      ...(options.flags ?? []),
    ],
    ready: (log) => log.includes('Server is ready to receive web requests'),
  });
  return Object.assign(server, { url });
}

async function importHistory(text: string, data: string): Promise<void> {
  const file = `${data}.openmetrics`;
  await writeFile(file, text);
  const promtool = findCommand('promtool') as string;
  await run([promtool, 'tsdb', 'create-blocks-from', 'openmetrics', file, data], {
    withinMs: IMPORT_WITHIN_MS,
  });
}
