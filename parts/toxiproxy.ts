import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, fillCacheFolder } from './cache.js';
import { findCommand, run } from './command.js';
import { installPackages } from './debian.js';
import { freePorts } from './free-ports.js';
import { OBTAIN_WITHIN_MS, type Part, PartMissing } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// Toxiproxy: TCP proxies that can be cut and slowed down. Compiled by Go, which checks what it downloads against the
// public checksum database. The last version that the Go of Debian 12 compiles.

const VERSION = '2.8.0';
const MODULE = `github.com/Shopify/toxiproxy/v2/cmd/server@v${VERSION}`;
const program = () => join(cacheFolder('toxiproxy', VERSION), 'toxiproxy');
const CALL_WITHIN_MS = 10_000;

export const part: Part = {
  name: 'toxiproxy',
  find: async () => (existsSync(program()) ? `toxiproxy ${VERSION}, ${program()}` : undefined),
  obtain: async (say) => {
    if (findCommand('go') === undefined) await installPackages(['golang-go'], say);
    await fillCacheFolder(cacheFolder('toxiproxy', VERSION), async (into) => {
      const [GOPATH, GOBIN, GOCACHE] = [join(into, 'go'), join(into, 'bin'), join(into, 'build')];
      const GOFLAGS = '-modcacherw -trimpath -buildvcs=false';
      await run(['go', 'install', MODULE], {
        withinMs: OBTAIN_WITHIN_MS,
        env: { GOPATH, GOBIN, GOCACHE, GOFLAGS, CGO_ENABLED: '0', GO111MODULE: 'on' },
        say,
      });
      await rename(join(GOBIN, 'server'), join(into, 'toxiproxy'));
      for (const folder of [GOPATH, GOBIN, GOCACHE]) await rm(folder, { recursive: true });
    });
  },
};

/** https://github.com/Shopify/toxiproxy#toxics; times in ms, rates in KB/s. */
export interface Toxics {
  latency: { latency: number; jitter?: number };
  bandwidth: { rate: number };
  slow_close: { delay: number };
  /** 0: nothing passes and the connection stays open. */
  timeout: { timeout: number };
  reset_peer: { timeout: number };
  slicer: { average_size: number; size_variation?: number; delay?: number };
  limit_data: { bytes: number };
}

/** One TCP proxy in front of a server. */
export class ToxicProxy {
  constructor(
    private readonly call: (method: string, path: string, body?: object) => Promise<void>,
    private readonly name: string,
    /** host:port for clients. */
    readonly address: string,
  ) {}

  /** Closes what is open and refuses what comes, until `join()`. */
  cut(): Promise<void> {
    return this.call('POST', `/proxies/${this.name}`, { enabled: false });
  }

  join(): Promise<void> {
    return this.call('POST', `/proxies/${this.name}`, { enabled: true });
  }

  /** One of each type and direction at a time; upstream is from the client to the server. */
  poison<T extends keyof Toxics>(
    type: T,
    attributes: Toxics[T],
    stream: 'upstream' | 'downstream' = 'downstream',
  ): Promise<void> {
    const toxic = { name: `${type}_${stream}`, type, stream, attributes };
    return this.call('POST', `/proxies/${this.name}/toxics`, toxic);
  }

  cure(type: keyof Toxics, stream: 'upstream' | 'downstream' = 'downstream'): Promise<void> {
    return this.call('DELETE', `/proxies/${this.name}/toxics/${type}_${stream}`);
  }
}

export interface Toxiproxy extends ServerProcess {
  /** http://… */
  apiUrl: string;
  /** A proxy to `upstream` (host:port), on a free port or on `port`. */
  proxy(name: string, upstream: string, port?: number): Promise<ToxicProxy>;
}

export async function startToxiproxy(): Promise<Toxiproxy> {
  if (!existsSync(program())) throw new PartMissing(`toxiproxy ${VERSION}`);
  const folder = await ServerFolder.create('toxiproxy');
  const [port] = (await freePorts(1)) as [number];
  const apiUrl = `http://127.0.0.1:${port}`;
  const server = await ServerProcess.start({
    name: 'toxiproxy',
    folder,
    command: [program(), '-host', '127.0.0.1', '-port', String(port)],
    ready: () =>
      fetch(`${apiUrl}/version`, { signal: AbortSignal.timeout(CALL_WITHIN_MS) }).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  const call = (method: string, path: string, body?: object) => request(method, `${apiUrl}${path}`, body);
  const proxy = async (name: string, upstream: string, port?: number): Promise<ToxicProxy> => {
    const listen = `127.0.0.1:${port ?? (await freePorts(1))[0]}`;
    await call('POST', '/proxies', { name, listen, upstream, enabled: true });
    return new ToxicProxy(call, name, listen);
  };
  return Object.assign(server, { apiUrl, proxy });
}

async function request(method: string, url: string, body?: object): Promise<void> {
  const answer = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_WITHIN_MS),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`toxiproxy ${method} ${url}: must succeed, got ${answer.status} ${text}`);
}
