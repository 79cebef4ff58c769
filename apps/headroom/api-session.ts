import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Scope } from '#adapters/identity';
import { formatProblem } from '#adapters/input-problems';
import type { CommandContext, Failure, Outcome } from './commands/command-context.js';
import { loadConfig } from './config-file.js';
import { EXIT, exitCodeOfStatus } from './exit-codes.js';
import { configFileOf, dataDirOf } from './locations.js';
import { openSigner } from './open-identity.js';
import { originOf } from './origin.js';

/** Options of a command that calls the API of a running program. */
export interface ApiOptions {
  url?: string;
  config?: string;
  dataDir?: string;
}

export interface ApiRequest {
  method: 'GET' | 'POST';
  path: string;
  body?: unknown;
}

/** All of an answer comes within this time; of one that is long, its beginning does. */
const ANSWER_MS = 30_000;
const BEGIN_MS = 60_000;
const TOKEN_S = 3_600;
/** The program may be busy for a moment: it says when to come again. */
const MAX_TRIES = 10;
const MAX_RETRY_AFTER_S = 10;

const problem = z.object({ detail: z.string().optional(), hint: z.string().optional() }).catch({});

type Begun = { ok: true; answer: Response } | ({ ok: false; retryAfterS?: number } & Failure);

/** Calls the API with one token, which must allow one scope. */
export class ApiSession {
  constructor(
    private readonly url: string,
    private readonly access: { token: string | undefined; scope: Scope },
  ) {}

  /** The body of a success. A 503 is asked again when it says so. */
  async call<T>(request: ApiRequest, schema: z.ZodType<T>): Promise<Outcome<T>> {
    for (let tries = 1; ; tries++) {
      const begun = await this.ask(request, AbortSignal.timeout(ANSWER_MS));
      if (begun.ok) return this.read(begun.answer, schema);
      const { retryAfterS = Infinity } = begun;
      if (retryAfterS > MAX_RETRY_AFTER_S || tries === MAX_TRIES) return begun;
      await delay(retryAfterS * 1000);
    }
  }

  /** Resolves when a success begins; its body may take any time. */
  async open(path: string): Promise<Outcome<Response>> {
    const beginning = new AbortController();
    const late = setTimeout(() => beginning.abort(new Error(`nothing within ${BEGIN_MS} ms`)), BEGIN_MS);
    try {
      const begun = await this.ask({ method: 'GET', path }, beginning.signal);
      return begun.ok ? { ok: true, value: begun.answer } : begun;
    } finally {
      clearTimeout(late);
    }
  }

  private async ask({ method, path, body }: ApiRequest, signal: AbortSignal): Promise<Begun> {
    const { token } = this.access;
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    try {
      const answer = await fetch(new URL(path, this.url), { method, headers, signal, ...content });
      return answer.ok ? { ok: true, answer } : await this.refusal(answer);
    } catch (error) {
      return this.unreachable(error as Error);
    }
  }

  private async read<T>(answer: Response, schema: z.ZodType<T>): Promise<Outcome<T>> {
    try {
      const body = schema.safeParse(await answer.json());
      if (body.success) return { ok: true, value: body.data };
    } catch (error) {
      if (!(error instanceof SyntaxError)) return this.unreachable(error as Error);
    }
    const message = `${this.url}: must answer as the API of Headroom, got something else`;
    return { ok: false, code: EXIT.usage, message, hint: 'the API is at api.port of the configuration' };
  }

  private async refusal(answer: Response): Promise<Begun> {
    const { status, headers, url } = answer;
    const { detail, hint } = problem.parse(await answer.json().catch(() => undefined));
    const code = exitCodeOfStatus(status);
    const retryAfterS = Number(headers.get('retry-after') ?? Number.NaN);
    return {
      ok: false,
      code,
      message: detail ?? `${url}: must succeed, got ${status}`,
      hint: code === EXIT.notAllowed ? `HEADROOM_TOKEN needs the scope ${this.access.scope}` : hint,
      ...(status === 503 && retryAfterS >= 0 && { retryAfterS }),
    };
  }

  /** `fetch failed` says nothing; its cause does. */
  private unreachable(error: Error): { ok: false } & Failure {
    const { code, message } = (error.cause ?? error) as { message: string; code?: unknown };
    const actual = typeof code === 'string' ? code : message;
    const hint = 'is it started?';
    return { ok: false, code: EXIT.unreachable, message: `${this.url}: must answer, got ${actual}`, hint };
  }
}

/** With HEADROOM_TOKEN where an address is named; otherwise with the key of the configuration or the data directory. */
export async function openApiSession(
  options: ApiOptions,
  { scope, subject }: { scope: Scope; subject: string },
  context: CommandContext,
): Promise<Outcome<ApiSession>> {
  const url = options.url ?? context.environment.url;
  if (url !== undefined) {
    if (!URL.canParse(url)) return usage(`--url: must be an address, got ${url}`);
    return { ok: true, value: new ApiSession(url, { scope, token: context.environment.token }) };
  }
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) return usage(loaded.problems.map(formatProblem).join('\n'));
  const { config } = loaded;
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  const signer = await openSigner({ ...config, dataDir });
  if (!signer.ok) return { ...signer, hint: signer.hint ?? 'or name --url, with a token in HEADROOM_TOKEN' };
  const lifetimeS = Math.min(TOKEN_S, config.identity.tokenMaxS);
  const { token } = await signer.value.signToken({ scopes: [scope], lifetimeS, subject });
  return { ok: true, value: new ApiSession(originOf(config.api), { scope, token }) };
}

function usage(message: string): { ok: false } & Failure {
  return { ok: false, code: EXIT.usage, message };
}
