import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below those that systems give to connections: otherwise one of them, or a client that tries to reach a server that is
 * being restarted and reaches itself, may have its port meanwhile.
 */
const PORTS = { from: 10_000, to: 20_000 };

/** Loopback ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
  if (listens) await once(server.close(), 'close');
  return listens;
}
