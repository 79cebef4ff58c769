import type { ServerProcess } from '#parts/server-process';
import type { ToxicProxy } from '#parts/toxiproxy';
import type { PlaceName } from '../separate-processes.js';
import type { Fault, Kind } from './faults.js';
import type { Own, Stage } from './stage.js';

/** Does the damage; what it resolves to undoes it. */
type Strike = (stage: Stage, fault: Fault) => Promise<() => Promise<unknown>>;

const STRIKES: Record<Kind, Strike> = {
  kill: async ({ deployed }, { target }) => {
    const place = deployed.place(target);
    place.program.kill('SIGKILL');
    await place.program.gone();
    return async () => (place.program = place.again());
  },
  'kafka-kill': ({ kafka }) => killed(kafka),
  'kafka-restart': ({ kafka }) => restarted(kafka),
  'kafka-cut': (stage, fault) => cut(linksOf(stage, fault, 'kafka')),
  'kafka-latency': (stage, fault) => slowed(linksOf(stage, fault, 'kafka'), fault),
  'postgres-kill': ({ postgres }) => killed(postgres),
  'postgres-restart': ({ postgres }) => restarted(postgres),
  'postgres-cut': (stage, fault) => cut(linksOf(stage, fault, 'postgres')),
  'postgres-latency': (stage, fault) => slowed(linksOf(stage, fault, 'postgres'), fault),
  clock: async ({ own }, { target, amount = 0 }) => {
    const { clock } = own.get(target as PlaceName) as Own;
    clock.set(amount);
    return async () => clock.set(0);
  },
};

/** Strikes, lasts and heals. */
export async function undergo(stage: Stage, fault: Fault): Promise<void> {
  const heal = await STRIKES[fault.kind](stage, fault);
  await new Promise((resolve) => setTimeout(resolve, fault.durationMs));
  await heal();
}

async function killed(server: ServerProcess) {
  await server.kill();
  return () => server.restart();
}

async function restarted(server: ServerProcess) {
  await server.restart();
  return async () => undefined;
}

async function cut(links: ToxicProxy[]) {
  await Promise.all(links.map((link) => link.cut()));
  return () => Promise.all(links.map((link) => link.join()));
}

async function slowed(links: ToxicProxy[], { amount: latency = 0 }: Fault) {
  await Promise.all(links.map((link) => link.poison('latency', { latency })));
  return () => Promise.all(links.map((link) => link.cure('latency')));
}

function linksOf({ own }: Stage, { target }: Fault, server: 'kafka' | 'postgres'): ToxicProxy[] {
  const struck = [...own].filter(([name]) => target === 'every process' || name === target);
  return struck.map(([, each]) => each[server]);
}
