import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PROJECT_DIR } from '../report.js';

/** The demo's pool and load on free ports, with a fixed number of workers from the first second. */
export async function writeConfig(file: string, { workers }: { workers: number }): Promise<void> {
  const [api, router] = await freePorts();
  const config = {
    api: { port: api },
    router: { port: router },
    log: { statusEveryS: 0 },
    pools: {
      demo: {
        bucketS: 1,
        seasonsS: [600],
        latenessS: 2,
        worker: { handlers: join(PROJECT_DIR, 'handlers', 'demo'), slots: 2 },
        policy: {
          mode: 'observe',
          objective: { responseMs: 50, quantile: 0.95 },
          bounds: { minWorkers: workers, maxWorkers: workers },
        },
        source: { kind: 'synthetic', seed: 1, seasonS: 600, peakRps: 200 },
      },
    },
  };
  // YAML takes JSON.
  writeFileSync(file, JSON.stringify(config));
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) server.close();
  return ports as [number, number];
}
