export { DataDirectoryInUse, EmbeddedPostgres } from './pglite/embedded-postgres.js';
export { pgDriverOver } from './pglite/pg-driver.js';
