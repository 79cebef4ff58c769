import { ApiClient } from './api-client.js';
import { Deployed, type Configuration, type Deployment } from './deployment.js';
import { freePorts, type Workplace } from './headroom-process.js';

/** `--target=all` on embedded parts, as `npm start` runs it; `more`: of the configuration. */
export function allInOne(more: object = {}): Deployment {
  return {
    name: 'one process',
    slowness: 1,
    start: (work, configuration) => start(work, { ...configuration, ...more }),
  };
}

async function start(work: Workplace, configuration: Configuration): Promise<Deployed> {
  const [apiPort, routerPort] = await freePorts(2);
  const configFile = work.write('headroom.yaml', {
    ...configuration,
    api: { port: apiPort },
    router: { port: routerPort },
  });
  const url = `http://127.0.0.1:${apiPort}`;
  const again = () => work.start(configFile);
  const place = { url, again, program: again() };
  await place.program.line(/^headroom: ready/m);
  const api = new ApiClient(url, await work.token('all'));
  return new Deployed([place], api, [`http://127.0.0.1:${routerPort}`]);
}
