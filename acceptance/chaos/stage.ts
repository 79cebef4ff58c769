import { join } from 'node:path';
import { processClock, removeSharedMemory, type ProcessClock } from '#parts/faketime';
import { startKafka, type Kafka } from '#parts/kafka';
import { startPostgres, type Postgres } from '#parts/postgres';
import { startToxiproxy, type ToxicProxy, type Toxiproxy } from '#parts/toxiproxy';
import type { Configuration } from '../deployment.js';
import { freePorts, type Workplace } from '../headroom-process.js';
import { PLACES, startSeparately, type PlaceName, type SeparatelyDeployed } from '../separate-processes.js';

/** What a process has of its own: links to the servers, and a clock. */
export interface Own {
  kafka: ToxicProxy;
  postgres: ToxicProxy;
  clock: ProcessClock;
}

/**
 * Everything that faults can strike: the program as separate processes on Kafka and PostgreSQL, each process behind two
 * proxies of its own and with a clock of its own. Whoever watches has neither.
 */
export interface Stage {
  kafka: Kafka;
  postgres: Postgres;
  own: ReadonlyMap<PlaceName, Own>;
  deployed: SeparatelyDeployed;
  /** Of the servers, when the processes have ended. */
  stop(): Promise<void>;
}

/** Kafka's name of the listener for a process. */
const listenerOf = (name: PlaceName) => name.replace('-', '').toUpperCase();

export async function setStage(work: Workplace, configuration: Configuration): Promise<Stage> {
  // At once: nobody listens on them yet, so they would be found free twice.
  const free = await freePorts(2 * PLACES.length);
  const [kafkaPorts, postgresPorts] = [free.slice(PLACES.length), free.slice(0, PLACES.length)];
  const advertised = PLACES.map((name, i) => {
    const listener = { protocol: 'PLAINTEXT', advertisedPort: kafkaPorts[i] as number } as const;
    return [listenerOf(name), listener] as const;
  });
  const servers: { stop(): Promise<void> }[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
    removeSharedMemory();
  };
  try {
    // A single broker that restarts under load: docs/decisions/0021.
    const kafka = await startKafka({ version: '4.2.0', listeners: Object.fromEntries(advertised) });
    servers.push(kafka);
    const postgres = await startPostgres();
    servers.push(postgres);
    const toxiproxy = await startToxiproxy();
    servers.push(toxiproxy);
    const own = new Map<PlaceName, Own>();
    for (const [i, name] of PLACES.entries()) {
      const ports = { kafka: kafkaPorts[i] as number, postgres: postgresPorts[i] as number };
      const links = await linksOf(name, { kafka, postgres, toxiproxy, ports });
      own.set(name, { ...links, clock: processClock(join(work.folder, `${name}.clock`)) });
    }
    const ownOf = (name: string) => own.get(name as PlaceName) as Own;
    const deployed = await startSeparately(work, configuration, {
      kafka: kafka.bootstrap,
      postgres: postgres.url,
      own: (name) => ({
        kafka: ownOf(name).kafka.address,
        postgres: ownOf(name).postgres.address,
        env: ownOf(name).clock.env,
      }),
    });
    return { kafka, postgres, own, deployed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Ends {
  kafka: Kafka;
  postgres: Postgres;
  toxiproxy: Toxiproxy;
  ports: { kafka: number; postgres: number };
}

async function linksOf(name: PlaceName, { kafka, postgres, toxiproxy, ports }: Ends) {
  const listener = kafka.listeners[listenerOf(name)] as string;
  return {
    kafka: await toxiproxy.proxy(`${name}-kafka`, listener, ports.kafka),
    postgres: await toxiproxy.proxy(`${name}-postgres`, new URL(postgres.url).host, ports.postgres),
  };
}
