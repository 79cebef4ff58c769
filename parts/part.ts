/** A real server that suites run against: how it comes to this machine. Its start function lies beside it. */
export interface Part {
  /** As in '#parts/<name>'. */
  readonly name: string;
  /** What is here, with version and place; undefined when nothing is, or not the right one. Quick: no network. */
  find(): Promise<string | undefined>;
  /**
   * Brings it here, at most `OBTAIN_WITHIN_MS`; `say` gets lines of progress. Throws `ToolMissing` when the machine
   * has nothing to obtain it with, and `PartRefused` when what came is not what was asked for.
   */
  obtain(say: (line: string) => void): Promise<void>;
}

/** Toxiproxy is compiled and Debian's index downloaded; a slow line needs more than both. */
export const OBTAIN_WITHIN_MS = 15 * 60_000;

/** A suite started a part that is not here. Nothing is obtained silently, and nothing skipped. */
export class PartMissing extends Error {
  constructor(what: string) {
    super(`${what}: must be on this machine, got nothing; run \`npm run parts\``);
  }
}

/** Nothing here can obtain the part: the message names what to install. */
export class ToolMissing extends Error {}

/** What was obtained is not what was asked for. */
export class PartRefused extends Error {}
