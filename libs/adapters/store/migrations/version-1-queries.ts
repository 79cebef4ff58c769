/**
 * What version 1 asks of its tables, word for word (the lists of selected columns are shortened): while processes are
 * replaced one after the other, it runs on the tables of version 2. `nowMs` is a time of today.
 */
export function version1Queries(nowMs: number): { sql: string; params: unknown[]; rows: number }[] {
  return [
    {
      sql: `INSERT INTO "projection_offsets"("projection", "topic", "partition", "next_offset")
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING topic`,
      params: ['demand', 'demand.v1', 7, 1],
      rows: 1,
    },
    {
      sql: `UPDATE "projection_offsets" SET "next_offset" = $1
        WHERE ("projection" = $2 AND "topic" = $3 AND "partition" = $4 AND "next_offset" = $5)`,
      params: [2, 'demand', 'demand.v1', 7, 1],
      rows: 1,
    },
    ...[1, 2].map((arrivals) => ({
      sql: `INSERT INTO "demand"("pool", "start_ms", "arrivals", "bucket") VALUES ($1, $2, $3, $4)
        ON CONFLICT ( "pool", "start_ms" ) DO UPDATE SET "pool" = EXCLUDED."pool", "start_ms" = EXCLUDED."start_ms",
        "arrivals" = EXCLUDED."arrivals", "bucket" = EXCLUDED."bucket"`,
      params: ['etl', nowMs, arrivals, '{}'],
      rows: 1,
    })),
    {
      sql: `INSERT INTO "demand_chains"("pool", "partition", "next_offset", "backlog", "in_flight")
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT ( "pool", "partition" ) DO UPDATE SET "pool" = EXCLUDED."pool",
        "partition" = EXCLUDED."partition", "next_offset" = EXCLUDED."next_offset", "backlog" = EXCLUDED."backlog",
        "in_flight" = EXCLUDED."in_flight"`,
      params: ['etl', 0, 1, 0, 0],
      rows: 1,
    },
    {
      sql: `select pool, bucket from demand
        join json_to_recordset($1::json) as place(pool text, start_ms bigint) using (pool, start_ms)`,
      params: [JSON.stringify([{ pool: 'etl', start_ms: nowMs }])],
      rows: 1,
    },
    {
      sql: `SELECT "d"."bucket" AS "d_bucket" FROM "demand" "d" WHERE "d"."pool" = $1 and "d"."start_ms" < $2
        ORDER BY "d"."start_ms" DESC LIMIT 2`,
      params: ['etl', Number.MAX_SAFE_INTEGER],
      rows: 2,
    },
    {
      sql: `SELECT "demand"."arrivals" AS "demand_arrivals" FROM "demand" "demand"
        WHERE (("demand"."pool" = $1) AND ("demand"."start_ms" >= $2)) ORDER BY "demand"."start_ms" ASC`,
      params: ['etl', nowMs],
      rows: 1,
    },
    {
      sql: 'delete from demand where pool = $1 and start_ms < $2',
      params: ['etl', nowMs],
      rows: 3,
    },
    {
      sql: `INSERT INTO "forecasts"("pool", "origin_ms", "forecast") VALUES ($1, $2, $3)
        ON CONFLICT ( "pool", "origin_ms" ) DO UPDATE SET "pool" = EXCLUDED."pool",
        "origin_ms" = EXCLUDED."origin_ms", "forecast" = EXCLUDED."forecast"`,
      params: ['etl', nowMs, '{}'],
      rows: 1,
    },
    {
      sql: 'select distinct on (pool) forecast from forecasts order by pool, origin_ms desc',
      params: [],
      rows: 1,
    },
    { sql: 'delete from forecasts where pool = $1 and origin_ms < $2', params: ['etl', nowMs], rows: 3 },
    ...['hold', 'scale'].map((kind) => ({
      sql: `INSERT INTO "decisions"("pool", "kind", "first_at_ms", "last_at_ms", "count", "decision", "memory",
        "policy_version") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING "id"`,
      params: ['etl', kind, nowMs, nowMs, 1, '{}', '{}', 1],
      rows: 1,
    })),
    {
      sql: `SELECT "d"."id" AS "d_id" FROM "decisions" "d"
        WHERE "d"."id" in (select max(id) from decisions where pool = any($1) group by pool)`,
      params: [['etl']],
      rows: 1,
    },
    {
      sql: `UPDATE "decisions" SET "pool" = $1, "kind" = $2, "first_at_ms" = $3, "last_at_ms" = $4, "count" = $5,
        "decision" = $6, "memory" = $7, "policy_version" = $8 WHERE "id" = $9`,
      params: ['etl', 'hold', nowMs, nowMs + 1, 2, '{}', '{}', 1, 4],
      rows: 1,
    },
    {
      sql: `delete from decisions where pool = $1 and last_at_ms < $2
        and id < (select max(id) from decisions where pool = $1)`,
      params: ['etl', nowMs],
      rows: 3,
    },
  ];
}
