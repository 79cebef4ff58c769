import type { Command } from 'commander';
import type { ExitCode } from '../exit-codes.js';

/** What main.ts read from the environment; nothing else reads it. Undefined = not set or empty. */
export interface Environment {
  /** HEADROOM_DATA_DIR */
  dataDir: string | undefined;
  /** HEADROOM_CONFIG */
  configFile: string | undefined;
  /** HEADROOM_TOKEN: bearer token for commands that call the API. */
  token: string | undefined;
  /** HEADROOM_URL: where the API is. */
  url: string | undefined;
  /** HEADROOM_ROUTER_URL: where the router takes requests. */
  routerUrl: string | undefined;
}

/** Why a command ends without what it was asked for. */
export interface Failure {
  code: ExitCode;
  /** `what: rule, actual` */
  message: string;
  hint?: string | undefined;
}

/** Its value, or why there is none. */
export type Outcome<T> = { ok: true; value: T } | ({ ok: false } & Failure);

/** What a command may touch of the process. */
export interface CommandContext {
  environment: Environment;
  /** Folder of package.json; the default configuration and data lie below it. */
  projectDir: string;
  /** Of package.json. */
  version: string;
  /** One line of result, to standard output. */
  print(line: string): void;
  /** One line for people, to standard error: progress, hints. */
  note(line: string): void;
  /** Progress that replaces itself on a terminal. */
  progress: { write(text: string): void; isTerminal: boolean };
  /** `headroom: what: rule, actual` and a hint to standard error; returns the code, so that `return fail(…)` reads. */
  fail(failure: Failure): ExitCode;
  /** Runs an action and makes its result the exit code of the process. */
  finish(action: () => Promise<ExitCode>): Promise<void>;
}

/**
 * Declares one command. Called on every start, for `--help`; so a command file imports only what declaring needs,
 * and its action imports the rest.
 */
export type RegisterCommand = (program: Command, context: CommandContext) => void;
