import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { openEmbeddedStore } from './open-store.js';
import { DataDirectoryInUse } from './pglite/embedded-postgres.js';
import { storeContract } from './store.contract.js';

const dataDir = mkdtempSync(join(tmpdir(), 'headroom-store-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

storeContract('embedded', () => openEmbeddedStore({ dataDir }));

test('a second opener of the same data directory is refused', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const store = await openEmbeddedStore({ dataDir: directory });
  await expect(openEmbeddedStore({ dataDir: directory })).rejects.toThrow(DataDirectoryInUse);
  await store.close();
  rmSync(directory, { recursive: true });
}, 30_000);
