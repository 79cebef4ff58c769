/** One metric: what docs/metrics.md says about it and what prom-client needs to make it. */
export interface MetricSpec {
  /** Prometheus name; its unit is its last word (before `_total` of a counter). */
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  /** What it tells and when to look at it; first sentence = HELP. */
  meaning: string;
  /** Upper bounds of a histogram, in the metric's unit. */
  buckets?: readonly number[];
}

// Around an objective of tens of milliseconds; 0.05 is the bound of the shipped objective itself.
const RESPONSE_S = [0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10];
const WORK_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const START_S = [0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60, 120, 300];

/**
 * Every metric of the program. `pool` has at most ingest.maxPools values; every other label is a closed list.
 * A new metric needs a unit in its name and a paragraph here; docs/metrics.md is made from this table.
 */
export const CATALOGUE = {
  routerRequests: {
    name: 'headroom_router_requests_total',
    kind: 'counter',
    labels: ['pool', 'outcome'],
    meaning:
      'Requests that the router answered or gave up, by outcome. `answered` is whatever a worker answered, `worker-refused` was turned away by its worker before it had a place there (leaving, full, or no HTTP it accepts), `rejected` found the queue full or no worker, `deadline` waited too long, `upstream` met a worker that failed, `client-gone` was abandoned by its sender, `malformed` was no HTTP that a worker can be asked with, `too-large` had a body of more than 1 MiB. The share of all outcomes but `answered` is the error rate that users see.',
  },
  routerResponse: {
    name: 'headroom_router_response_seconds',
    kind: 'histogram',
    labels: ['pool'],
    buckets: RESPONSE_S,
    meaning:
      'Time from the arrival of a request at the router to the end of its answer. It is what the objective is about: queue wait plus service.',
  },
  routerWait: {
    name: 'headroom_router_wait_seconds',
    kind: 'histogram',
    labels: ['pool'],
    buckets: RESPONSE_S,
    meaning:
      'Time a request waited in the router for a free slot. When the response time grows and this does not, the workers are slow, and more of them will not help.',
  },
  routerQueue: {
    name: 'headroom_router_queue_requests',
    kind: 'gauge',
    labels: ['pool'],
    meaning: 'Requests that wait for a free slot now. Bounded by router.queueLimit.',
  },
  routerInFlight: {
    name: 'headroom_router_in_flight_requests',
    kind: 'gauge',
    labels: ['pool'],
    meaning: 'Requests that are at a worker now. At most the slots of the ready and draining workers.',
  },
  routerRetries: {
    name: 'headroom_router_retries_total',
    kind: 'counter',
    labels: ['pool'],
    meaning:
      'Requests sent to a second worker because the first could not be reached. A steady rate means that workers disappear without being drained.',
  },
  routerUnroutable: {
    name: 'headroom_router_unroutable_requests_total',
    kind: 'counter',
    labels: ['reason'],
    meaning:
      'Requests that are nobody’s demand, by reason: `unknown-pool`, `malformed-pool` and `reserved-path` (`/<pool>/.headroom/…`, which workers keep for their fleet) are answered with 404, `upgrade` (WebSockets) with 501; of connections without a request, `malformed-request` (no HTTP) is answered with 400, `headers-too-large` with 431, `too-slow` with 408, and `too-many-connections` are closed at once: then more routers are needed, or somebody keeps connections open.',
  },
  sinkEvents: {
    name: 'headroom_event_sink_events_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Execution events the router produced, by what became of them: `acknowledged`, or dropped as `overflow`, `refused` or `closed`. Anything but `acknowledged` means that demand is undercounted.',
  },
  sinkRetries: {
    name: 'headroom_event_sink_retries_total',
    kind: 'counter',
    labels: [],
    meaning: 'Batches of execution events that must be sent again. Rises while the event log cannot write.',
  },
  apiProblems: {
    name: 'headroom_api_problems_total',
    kind: 'counter',
    labels: ['status'],
    meaning:
      'Requests to the API that were answered with a problem, by status: bodies that are no JSON (400), missing or weak tokens (401, 403), too large ones (413), inputs that break a rule (422), no room on the disk (503).',
  },
  apiUnauthorized: {
    name: 'headroom_api_unauthorized_requests_total',
    kind: 'counter',
    labels: ['reason'],
    meaning:
      'Requests to the API refused for their token, by reason: `none` and `no-bearer` had none, `malformed`, `signature` and `claims` are none of ours, `expired` and `lifetime` are too old or were signed for too long, `scope` does not allow the route; `proof`: a webhook brought another signature or secret than that of its sender. Many with `signature` mean that somebody uses the key of another data directory, or tries.',
  },
  apiEvents: {
    name: 'headroom_api_events_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Events received by POST /v1/events: `accepted`, refused by reason, or of requests that were answered with 503 because the event log was `overloaded` or `unavailable` (some of these may be written: they are sent again and count once). A sender that is refused sees the reason in the answer.',
  },
  mappedRecords: {
    name: 'headroom_mapped_records_total',
    kind: 'counter',
    labels: ['mapping', 'outcome'],
    meaning:
      'Records of other platforms, or their elements, by the mapping they came through (`none`: they were execution events) and what became of them: `mapped` to an execution event, `ignored` because the mapping says so, `unreadable` (one for a whole batch that could not be unpacked), refused by reason (`missing`, `unknown_status`, `unreadable_time`, `unreadable_attempt`, `too_many_elements`, `malformed_json`, `oversized`, `invalid`), or not written because the event log was `overloaded` or `unavailable` (they come again). Refused ones are in executions.dlq.v1; `headroom mapping test` says what is wrong with a sample.',
  },
  demandSamples: {
    name: 'headroom_demand_samples_total',
    kind: 'counter',
    labels: ['source', 'outcome'],
    meaning:
      'Buckets of demand that each measuring source (Prometheus, the depth of a RabbitMQ queue) was asked for: `told`, `unknown` because it had no value (those after the last one told are asked for again), and `failed` questions, which the log explains. Without new buckets decisions of these pools turn `blind`.',
  },
  historyPieces: {
    name: 'headroom_history_pieces_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Pieces of the past of pools (`headroom import`) by what became of them: `included` in demand, now or before; `pending`, because the table of demand had not taken it within seconds, or another history of the pool that comes in as well; refused as `overlaps` (a part of it is in already), `outside` (older than what is kept, or where other demand counts) or `too-many` (histories of one pool); or not written because the event log was `overloaded` or `unavailable`. What is pending or not written is sent again.',
  },
  recordSourceRecords: {
    name: 'headroom_record_source_records_total',
    kind: 'counter',
    labels: ['source'],
    meaning:
      'Records that each source of the configuration (Redis Streams, RabbitMQ) handed over and that were acknowledged to it. What became of them is in headroom_mapped_records_total.',
  },
  recordSourceConnected: {
    name: 'headroom_record_source_connected_ratio',
    kind: 'gauge',
    labels: ['source'],
    meaning:
      '1 while a source of the configuration is connected, 0 while it is not. Records wait in the other system meanwhile; nothing is lost unless it drops them.',
  },
  recordSourceFailures: {
    name: 'headroom_record_source_failures_total',
    kind: 'counter',
    labels: ['source', 'step'],
    meaning:
      'Failures of each source by step: `connect`, it could not be reached or the connection broke; `take`, records could not be written to the event log. Both are tried again after a pause; the log says why.',
  },
  recordSourceWaiting: {
    name: 'headroom_record_source_waiting_records',
    kind: 'gauge',
    labels: ['source'],
    meaning:
      'Records that wait in the system of a source, as seen in the last seconds; absent while that is not known. When it grows, demand is seen too late.',
  },
  ingestRecords: {
    name: 'headroom_ingest_records_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Records of executions.v1 by what ingest made of them: `counted`, `duplicate` (told nothing new), `late` (counted, but the bucket of its own moment, or of the arrival that it was the first to tell, was final), or `dead-lettered`.',
  },
  ingestDeadLetters: {
    name: 'headroom_ingest_dead_letters_total',
    kind: 'counter',
    labels: ['reason'],
    meaning:
      'Records that count nowhere and went to executions.dlq.v1, by reason; `unreadable` is one for a whole batch that could not be unpacked. `headroom dead-letters list` shows them, with the reason of each.',
  },
  readDeadLetters: {
    name: 'headroom_read_dead_letters_total',
    kind: 'counter',
    labels: ['operation'],
    meaning:
      'Dead letters that the API has handed out: `listed` without what they hold, or `shown` with it. Who reads them sees payloads, as far as deadLetters.payload keeps any.',
  },
  replayedDeadLetters: {
    name: 'headroom_replayed_dead_letters_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Dead letters that somebody asked to have replayed, by outcome: `replayed`; or refused because there is `no_letter` at the place, it is `redacted` or `cut`, its record was replayed three times in vain (`too_many_replays`), its mapping is gone (`unknown_mapping`) or finds another number of elements (`mapping_changed`), all of it is `still_refused`, or the event log was `overloaded` or `unavailable`. A record that is refused again after a replay is counted in headroom_ingest_dead_letters_total as well.',
  },
  ingestExpired: {
    name: 'headroom_ingest_expired_attempts_total',
    kind: 'counter',
    labels: [],
    meaning:
      'Attempts whose end was never seen within ingest.maxExecutionS. They left backlog or in-flight; many of them mean that a sender loses its last events.',
  },
  ingestForgottenEarly: {
    name: 'headroom_ingest_forgotten_early_attempts_total',
    kind: 'counter',
    labels: [],
    meaning:
      'Ended attempts forgotten before the dedupe window was over, because memory for them is bounded. A duplicate of such an attempt would count twice.',
  },
  demandPartials: {
    name: 'headroom_demand_partials_total',
    kind: 'counter',
    labels: ['reader', 'outcome'],
    meaning:
      'Demand messages by reader and what became of them: `applied`, `seen` (included already, normal after a restart), `other-length` (its buckets are not of the pool’s length: from before bucketS was changed, or from a process that has not got the change yet; the table keeps them), `unreadable` (no demand at all), or `gap` (messages in between are missing: demand is undercounted; this must stay at zero).',
  },
  demandSeriesRestarts: {
    name: 'headroom_demand_series_restarts_total',
    kind: 'counter',
    labels: [],
    meaning:
      'Pools whose history began anew because bucketS was changed in the configuration. What is kept from before is left out of history, forecasts and API, and goes with retention; the log names the pool.',
  },
  unreadableRecords: {
    name: 'headroom_unreadable_records_total',
    kind: 'counter',
    labels: ['reader', 'topic'],
    meaning:
      'Records that a reader left out because they are not what their topic carries. Only Headroom writes these topics: this must stay at zero.',
  },
  consumerRecords: {
    name: 'headroom_consumer_records_total',
    kind: 'counter',
    labels: ['group', 'topic'],
    meaning:
      'Records handled by each consumer group. A group whose rate falls behind that of its topic shows up in headroom_consumer_lag_seconds next.',
  },
  consumerBatch: {
    name: 'headroom_consumer_batch_seconds',
    kind: 'histogram',
    labels: ['group', 'topic'],
    buckets: WORK_S,
    meaning:
      'Time to handle one batch, its commit included. When it nears the pace at which batches arrive, the group falls behind.',
  },
  consumerFailures: {
    name: 'headroom_consumer_failures_total',
    kind: 'counter',
    labels: ['group'],
    meaning:
      'Times a consumer group lost its member to an error. It joins again after a back-off and goes on where it had committed; /readyz says which group is failing.',
  },
  lostRecords: {
    name: 'headroom_lost_records_total',
    kind: 'counter',
    labels: ['group', 'topic', 'partition'],
    meaning:
      'Records that Kafka dropped by retention before a consumer group had read them, ends of transactions included. Those of executions.v1 are executions that no demand counts: the group stood still for longer than eventLog.executionsRetentionS. Must stay at zero.',
  },
  consumerLag: {
    name: 'headroom_consumer_lag_seconds',
    kind: 'gauge',
    labels: ['group'],
    meaning:
      'Age of the oldest record of executions.v1 that group `ingest` has not handled; absent while the event log does not answer. Decisions see demand only up to this age: beyond a few buckets they turn `blind`. The other groups keep no offsets in the log (each starts from its own table); whether they keep up is seen in headroom_consumer_lag_records.',
  },
  consumerLagRecords: {
    name: 'headroom_consumer_lag_records',
    kind: 'gauge',
    labels: ['group', 'topic', 'partition'],
    meaning:
      'Records of each partition that this process reads for a group and has not handled yet, those of the batch at hand included; partitions that another process reads are in its metrics. One partition that grows while the others do not has a key that is too hot, or records that are too slow.',
  },
  loopRuns: {
    name: 'headroom_loop_runs_total',
    kind: 'counter',
    labels: ['loop', 'outcome'],
    meaning:
      'Runs of each loop: `ran` in time, `overran` its period, or `failed`. A loop never stops of one failed run.',
  },
  loopRun: {
    name: 'headroom_loop_run_seconds',
    kind: 'histogram',
    labels: ['loop'],
    buckets: WORK_S,
    meaning: 'Duration of the runs of each loop. A run longer than the loop’s period delays the next one.',
  },
  forecasts: {
    name: 'headroom_forecasts_total',
    kind: 'counter',
    labels: ['state'],
    meaning:
      'Forecasts made, by state: `warm`, or `reactive-only` while a pool has too little history for more than its recent level. `failed`: none was made for a closed bucket of a pool; the log says why.',
  },
  forecastStep: {
    name: 'headroom_forecast_step_seconds',
    kind: 'histogram',
    labels: [],
    buckets: WORK_S,
    meaning: 'Time from handing closed buckets to the forecasting thread to having the forecasts.',
  },
  decisions: {
    name: 'headroom_decisions_total',
    kind: 'counter',
    labels: ['pool', 'kind', 'reason'],
    meaning:
      'Decisions by pool, kind (`scale`, `hold`, `blind`) and reason. `blind` means that something was missing or stale and the number was kept: alert on its rate.',
  },
  decisionLimits: {
    name: 'headroom_decision_limits_total',
    kind: 'counter',
    labels: ['pool', 'limit'],
    meaning:
      'Decisions whose number a limit changed, by limit. A pool that meets `max-workers` all the time needs a higher bound or a smaller promise; one that meets `fleet-max-workers` needs a larger fleet: its machine runs no more workers.',
  },
  shortForecastDecisions: {
    name: 'headroom_short_forecast_decisions_total',
    kind: 'counter',
    labels: ['pool'],
    meaning:
      'Decisions whose forecast ended before workers ordered then could be ready: they take longer to start than leadTimeMaxS of the pool says. What comes in between is met too late; raise leadTimeMaxS.',
  },
  decisionInputsMissing: {
    name: 'headroom_decision_input_failures_total',
    kind: 'counter',
    labels: ['input'],
    meaning:
      'Questions that had no answer when decisions needed it, by whom: `event-log` (up to when demand is counted; every pool is blind then) or `fleet` (the workers of one pool). The log says why.',
  },
  decisionsLost: {
    name: 'headroom_lost_decisions_total',
    kind: 'counter',
    labels: [],
    meaning:
      'Decisions that were made and will never be in the record, because the event log took none for so long that too many waited. Must stay at zero.',
  },
  decisionsApplied: {
    name: 'headroom_decisions_applied_total',
    kind: 'counter',
    labels: ['outcome'],
    meaning:
      'Orders to the fleet by outcome: `taken`, `failed`, `outdated` (not given: the process stood still for seconds after its decision), or `restored` (a fleet that had just started was told the number that counted before). Policies in mode `observe` order nothing else and are not counted.',
  },
  workers: {
    name: 'headroom_workers',
    kind: 'gauge',
    labels: ['pool', 'state'],
    meaning:
      'Workers by pool and state: `ready`, `starting`, `draining`, and `desired`, the number last ordered. Each pool is told by the process that decides for it.',
  },
  objectiveReachable: {
    name: 'headroom_objective_reachable_ratio',
    kind: 'gauge',
    labels: ['pool'],
    meaning:
      '1 when some number of workers can hold the pool’s objective, as far as is known; 0 when enough service times have shown that they alone break it. At 0, scaling cannot help: make the handler faster or the promise smaller.',
  },
  workerStart: {
    name: 'headroom_worker_start_seconds',
    kind: 'histogram',
    labels: ['pool'],
    buckets: START_S,
    meaning:
      'Time from ordering a worker to the moment the router may choose it. Its high quantile is the lead time that decisions look ahead.',
  },
  workerExits: {
    name: 'headroom_worker_exits_total',
    kind: 'counter',
    labels: ['pool', 'cause'],
    meaning:
      'Workers that ended, by cause: `drained` as asked, `killed` because they did not finish in time, `crashed` by themselves (they are started again with a back-off).',
  },
  workerEventsDropped: {
    name: 'headroom_worker_dropped_events_total',
    kind: 'counter',
    labels: ['pool'],
    meaning:
      'Execution events that workers could not deliver before they ended or ran out of room. Their executions leave in-flight only after ingest.maxExecutionS.',
  },
  fleetRequests: {
    name: 'headroom_fleet_requests_total',
    kind: 'counter',
    labels: ['operation', 'outcome'],
    meaning:
      'Requests to the process that hosts the workers, when that is another one, by operation (`scale`, `observe`, `follow`) and outcome (`answered`, `failed`). While they fail, decisions are `blind` and routers go on with the workers they know.',
  },
  fleetRestarts: {
    name: 'headroom_fleet_restarts_total',
    kind: 'counter',
    labels: [],
    meaning:
      'Times the process that hosts the workers was found to have started anew: all workers it had are gone.',
  },
  storePartitions: {
    name: 'headroom_store_partitions_total',
    kind: 'counter',
    labels: ['table', 'outcome'],
    meaning:
      'Partitions of the tables of demand, forecasts and decisions: `created` for rows to come or that came late, `dropped` because no pool keeps what was in them, or `waiting` to be dropped because somebody was reading. Tables grow without bound when `waiting` rises and `dropped` does not.',
  },
  sourceRequests: {
    name: 'headroom_source_requests_total',
    kind: 'counter',
    labels: ['pool', 'outcome'],
    meaning:
      'Requests of the declared synthetic sources, as their sender saw them: `ok`, `failed`, or `skipped` because too many were in flight.',
  },
} as const satisfies Record<string, MetricSpec>;
