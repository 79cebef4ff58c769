import { run } from './command.js';
import { installPackages } from './debian.js';
import { type Part, PartRefused } from './part.js';

const VERSION_WITHIN_MS = 30_000;

/** What most programs print their version for. */
export const printedVersion = (program: string): Promise<string> =>
  run([program, '--version'], { withinMs: VERSION_WITHIN_MS });

/** A part that the system's package manager keeps: what is installed is used, when it is new enough. */
export function installedPart(server: {
  name: string;
  /** Its program, undefined when it is not on this machine. */
  locate: () => string | undefined;
  /** A text with its version. */
  version: (program: string) => Promise<string>;
  /** The first version that will do, `major.minor`. */
  oldest: string;
  /** Of Debian. */
  packages: readonly string[];
}): Part {
  const { name, locate, version, oldest, packages } = server;
  return {
    name,
    find: async () => {
      const program = locate();
      if (program === undefined) return undefined;
      const found = notOlder(await version(program), oldest);
      return `${name} ${found}, ${program}`;
    },
    obtain: (say) => installPackages(packages, say),
  };
}

/** The first version in a text; throws `PartRefused` when it is older. */
export function notOlder(text: string, oldest: string): string {
  const found = /\d+(\.\d+)+/.exec(text)?.[0] ?? text;
  if (found.localeCompare(oldest, 'en', { numeric: true }) < 0)
    throw new PartRefused(`version must be ${oldest} or newer, got ${found}`);
  return found;
}
