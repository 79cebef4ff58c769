import { machine, median } from '../../bench/report.js';
import { KINDS, type Kind } from './faults.js';
import type { Outcome } from './run.js';

/** What each kind does, for readers of the page. */
const MEANING: Record<Kind, string> = {
  kill: '`kill -9` of one process, started again up to 3 s later',
  'kafka-kill': '`kill -9` of the broker, started again up to 3 s later',
  'kafka-restart': 'the broker stops in order and starts',
  'kafka-cut': 'no connection to the broker for up to 10 s, of one process or of all',
  'kafka-latency': '50 to 500 ms more to each answer of the broker, for one process or for all',
  'postgres-kill': '`kill -9` of PostgreSQL, started again up to 3 s later',
  'postgres-restart': 'PostgreSQL stops in order and starts',
  'postgres-cut': 'no connection to PostgreSQL for up to 10 s, of one process or of all',
  'postgres-latency': '50 to 500 ms more to each answer of PostgreSQL, for one process or for all',
  clock: 'the clock of one process is up to 30 s ahead or behind, and set back',
};

const number = (value: number): string => value.toLocaleString('en');

/** docs/benchmarks/chaos.md */
export function page(outcome: Outcome, command: string): string {
  return `# Chaos

\`npm run test:chaos\`: faults strike the program as separate processes (2 ingest, 2 autoscalers, 2 routers, a forecaster, a host of workers) on Kafka and PostgreSQL, one after the other, while a platform writes executions straight into Kafka. Written by the suite itself:

\`\`\`
${command} --docs
\`\`\`

${new Date().toISOString().slice(0, 10)} on ${machine()}; ${(outcome.tookMs / 60_000).toFixed(0)} minutes. The broker is a single one of 4.2.0 ([decision 21](../decisions/0021-chaos-on-a-single-broker-of-4-2.md)).

| fault | what | count | recovered after, median s | max s |
| --- | --- | --- | --- | --- |
${KINDS.flatMap((kind) => rowOf(kind, outcome)).join('\n')}

_Recovered_: from the moment the fault is undone (the server answers again, the network is whole, the killed process has been launched) until everything that was acknowledged by then has counted and every process says that it is ready.

| in the end | |
| --- | --- |
| executions that the broker acknowledged | ${number(outcome.sent)} |
| executions counted | ${number(outcome.counted)} |
| batches sent again for want of an answer, and on purpose | ${number(outcome.again.resent)}, ${number(outcome.again.repeated)} |
| orders to the fleet that were seen, each with its decision | ${number(outcome.orders)} |

${outcome.checks.map(([name, complaints]) => `- ${name}: ${complaints.length === 0 ? 'yes' : 'NO'}`).join('\n')}
`;
}

function rowOf(kind: Kind, { undergone }: Outcome): string[] {
  const times = undergone
    .filter(({ fault }) => fault.kind === kind)
    .map(({ recoveryMs }) => recoveryMs / 1000);
  if (times.length === 0) return [];
  const cells = [kind, MEANING[kind], times.length, median(times).toFixed(1), Math.max(...times).toFixed(1)];
  return [`| ${cells.join(' | ')} |`];
}
