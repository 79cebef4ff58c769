import type { ApiClient } from './api-client.js';
import { eventually } from './headroom-process.js';

/** Who reads between an acknowledged event and the table that the API answers from. */
const READERS = ['ingest', 'demand-table'];

/**
 * Resolves when every event that was acknowledged before the call is in the demand table. Of a program that has all
 * targets and the embedded event log: there one look at /metrics has both readers, and what they read, at one moment.
 */
export async function demandSettled(api: ApiClient): Promise<void> {
  await eventually('all events in the demand table', async () => {
    const samples = [...(await api.metrics())];
    const lagsOf = (reader: string) =>
      samples.filter(([name]) => name.startsWith(`headroom_consumer_lag_records{group="${reader}",`));
    const isThrough = (reader: string) =>
      lagsOf(reader).length > 0 && lagsOf(reader).every(([, records]) => records === 0);
    return READERS.every(isThrough) || undefined;
  });
}
