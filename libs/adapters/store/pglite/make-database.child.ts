// Creates the database of a new data directory in a process of its own, and ends: what that takes of the memory (WASM
// memory never shrinks, and a thread's does not all go back) goes with it. Ends too when its parent does.
import { PGlite } from '@electric-sql/pglite';

// Ctrl-C in a terminal reaches this process too: its parent stops once the start is through.
process.on('SIGINT', () => undefined);
process.once('disconnect', () => process.exit(1));
const db = await PGlite.create(process.argv[2] as string);
await db.close();
process.exit(0);
