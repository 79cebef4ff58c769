import { canSign, type Scope } from '#adapters/identity';
import { formatProblem } from '#adapters/input-problems';
import type { CommandContext } from './commands/command-context.js';
import { loadConfig } from './config-file.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { configFileOf, dataDirOf } from './locations.js';
import { openIdentity } from './open-identity.js';
import { originOf } from './origin.js';

/** Options of a command that calls the API of a running program. */
export interface SessionOptions {
  url?: string;
  config?: string;
  dataDir?: string;
}

/** What `context.fail` takes. */
export interface SessionFailure {
  ok: false;
  code: ExitCode;
  message: string;
  hint?: string | undefined;
}

export type ApiAnswer<T> = { ok: true; body: T } | SessionFailure;

const ANSWER_MS = 30_000;
const TOKEN_S = 3_600;
/** The program may be busy for a moment: it says when to come again. */
const MAX_TRIES = 10;
const MAX_RETRY_AFTER_S = 10;

/** Calls the API with one token. */
export class ApiSession {
  constructor(
    readonly url: string,
    private readonly token: string | undefined,
  ) {}

  /** The body of a success; everything else with its exit code. A 503 is tried again when it says so. */
  async call<T>(method: string, path: string, body?: unknown): Promise<ApiAnswer<T>> {
    for (let tries = 1; ; tries++) {
      const asked = await this.ask(method, path, body).catch((error: Error) => this.unreachable(error));
      if ('code' in asked) return asked;
      if (asked.ok) return { ok: true, body: (await asked.json()) as T };
      const retryAfterS = Number(asked.headers.get('retry-after') ?? Number.NaN);
      if (asked.status !== 503 || !(retryAfterS <= MAX_RETRY_AFTER_S) || tries === MAX_TRIES)
        return refused(asked);
      await new Promise((resolve) => setTimeout(resolve, retryAfterS * 1000));
    }
  }

  private ask(method: string, path: string, body: unknown): Promise<Response> {
    const headers = {
      ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const signal = AbortSignal.timeout(ANSWER_MS);
    return fetch(new URL(path, this.url), { method, headers, signal, ...content });
  }

  /** `fetch failed` says nothing; its cause does. */
  private unreachable(error: Error): SessionFailure {
    const { message, code = message } = (error.cause ?? error) as { message: string; code?: string };
    return failure(EXIT.unreachable, `${this.url}: must answer, got ${code}`, 'is it started?');
  }
}

/** With HEADROOM_TOKEN where an address is named; otherwise with the key of the data directory. */
export async function openApiSession(
  options: SessionOptions,
  scopes: readonly Scope[],
  context: CommandContext,
): Promise<{ ok: true; session: ApiSession } | SessionFailure> {
  const url = options.url ?? context.environment.url;
  if (url !== undefined && !URL.canParse(url))
    return failure(EXIT.usage, `--url: must be an address, got ${url}`);
  if (url !== undefined) return { ok: true, session: new ApiSession(url, context.environment.token) };
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) return failure(EXIT.usage, loaded.problems.map(formatProblem).join('\n'));
  const { config } = loaded;
  const { tokenMaxS, keyFile } = config.identity;
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  const opened = await openIdentity({ ...config, dataDir, create: false });
  if (!opened.ok) {
    const code = opened.reason === 'not-readable' ? EXIT.notAllowed : EXIT.usage;
    return failure(code, opened.problem, opened.hint);
  }
  const { identity } = opened;
  if (!canSign(identity)) {
    const message = `identity.keyFile ${keyFile}: must be a private key to sign, got a public one`;
    return failure(EXIT.usage, message, 'give --url and HEADROOM_TOKEN');
  }
  const lifetimeS = Math.min(TOKEN_S, tokenMaxS);
  const { token } = await identity.signToken({ scopes, lifetimeS, subject: 'cli' });
  return { ok: true, session: new ApiSession(originOf(config.api), token) };
}

async function refused(answer: Response): Promise<SessionFailure> {
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; hint?: string };
  const message = problem.detail ?? `${answer.url}: must succeed, got ${answer.status}`;
  return failure(exitCodeOf(answer.status), message, problem.hint);
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.notAllowed;
  return status >= 500 ? EXIT.unreachable : EXIT.usage;
}

function failure(code: ExitCode, message: string, hint?: string): SessionFailure {
  return { ok: false, code, message, hint };
}
