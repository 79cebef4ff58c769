// Creates the database of a new data directory, and ends: what that takes of the memory (WASM memory never shrinks)
// goes back with the thread.
import { workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';

const { folder } = workerData as { folder: string };
const db = await PGlite.create(folder);
await db.close();
