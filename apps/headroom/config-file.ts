import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { withFiles } from '#adapters/event-log/kafka-settings';
import type { InputProblem } from '#adapters/input-problems';
import { configSchema, type Config } from './config.js';
import { checkYaml } from './yaml.js';

export type LoadedConfig = { ok: true; config: Config } | { ok: false; problems: InputProblem[] };

/** Reads and checks a configuration file. Relative folders in it are resolved from the file's own folder. */
export async function loadConfig(file: string): Promise<LoadedConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return { ok: false, problems: [{ where: file, rule: 'must be a readable file', actual }] };
  }
  const parsed = parseConfig(text);
  return parsed.ok ? { ok: true, config: resolveFolders(parsed.config, dirname(resolve(file))) } : parsed;
}

/** Checks the text of a configuration; folders stay as written. An empty text is the default configuration. */
export function parseConfig(text: string): LoadedConfig {
  const checked = checkYaml(configSchema, text);
  return checked.ok ? { ok: true, config: checked.value } : checked;
}

/** Keys that end with File name one, at any depth. */
function resolveFiles<T extends object>(settings: T, folder: string): T {
  const resolved = Object.entries(settings).map(([key, value]: [string, unknown]) => {
    if (typeof value === 'object' && value !== null) return [key, resolveFiles(value, folder)];
    return [key, key.endsWith('File') && typeof value === 'string' ? resolve(folder, value) : value];
  });
  return Object.fromEntries(resolved) as T;
}

function resolveFolders(config: Config, folder: string): Config {
  const pools = Object.entries(config.pools).map(([name, pool]) => {
    const { handlers } = pool.worker;
    if (handlers === undefined) return [name, pool];
    return [name, { ...pool, worker: { ...pool.worker, handlers: resolve(folder, handlers) } }];
  });
  const webhooks = Object.entries(config.webhooks).map(([name, webhook]) => {
    return [name, { ...webhook, secretFile: resolve(folder, webhook.secretFile) }];
  });
  const sources = Object.entries(config.sources).map(([name, source]) => {
    const files = ['passwordFile', 'tokenFile'].flatMap((key) => {
      const file = (source as Record<string, unknown>)[key];
      return typeof file === 'string' ? [[key, resolve(folder, file)]] : [];
    });
    return [name, { ...source, ...(Object.fromEntries(files) as object) }];
  });
  const { dataDir, eventLog, identity, fleet } = config;
  const { keyFile } = identity;
  return {
    ...config,
    eventLog: eventLog.kind === 'kafka' ? withFiles(eventLog, (path) => resolve(folder, path)) : eventLog,
    sources: Object.fromEntries(sources) as Config['sources'],
    webhooks: Object.fromEntries(webhooks) as Config['webhooks'],
    ...(dataDir !== undefined && { dataDir: resolve(folder, dataDir) }),
    store: resolveFiles(config.store, folder),
    ...(keyFile !== undefined && { identity: { ...identity, keyFile: resolve(folder, keyFile) } }),
    ...(fleet.kind === 'remote' &&
      fleet.tokenFile !== undefined && { fleet: { ...fleet, tokenFile: resolve(folder, fleet.tokenFile) } }),
    pools: Object.fromEntries(pools) as Config['pools'],
  };
}
